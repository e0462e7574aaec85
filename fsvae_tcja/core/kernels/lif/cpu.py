"""LIF on the CPU, forward and backward, compiled by Numba. Derivation: README.md of this folder.

A tile of neurons is carried through all T steps while its membranes lie in the first-level cache.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...surrogate import SURROGATES
from .. import threads
from ..neuron import Constants
from ..rows import accumulate, accumulate_affine, affine, fold, multiply, read, repeat, write
from ..storage import array, compile, narrow, widen
from . import layout

TILE = 2048  # neurons; T * TILE membranes fit the second-level cache


@compile
def _fire(spikes, x, v, k):
    one, zero = narrow(spikes, np.float32(1)), narrow(spikes, np.float32(0))
    for j in range(x.size):
        u = k.decay * v[j] + k.gain * x[j]
        fired = u > k.threshold
        spikes[j] = one if fired else zero
        v[j] = k.keep * u - k.drop if fired else u


@compile
def _membrane(x, v, k):
    """x_t -> u_t in place."""
    for j in range(x.size):
        u = k.decay * v[j] + k.gain * x[j]
        x[j] = u
        v[j] = k.keep * u - k.drop if u > k.threshold else u


@cache
def _fire_backward(surrogate: str):
    derivative = compile(SURROGATES[surrogate].derivative)

    @compile
    def fire_backward(u, grad, v, k):
        """u_t -> dL/dx_t and dL/dv_t -> dL/dv_{t-1}, in place."""
        for j in range(u.size):
            after = k.keep * u[j] - k.drop
            dv = v[j]
            ds = widen(grad[j]) - k.through * dv * (u[j] - after)
            du = ds * derivative(abs(u[j] - k.centre), k.a, k.b) + (k.keep * dv if u[j] > k.threshold else dv)
            u[j] = k.gain * du
            v[j] = k.decay * du

    return fire_backward


@compile
def _current(x, y, scale, shift, gate, gates):
    """x_t = gate (scale y_t + shift); an absent factor is None and costs nothing."""
    if scale is None:
        read(x, y)
    else:
        affine(x, y, scale[: x.size], shift[: x.size])
    if gate is not None:
        repeat(gates[: x.size], gate)
        multiply(x, gates[: x.size])


@compile
def _forward(y, scale, shift, gate, v, spikes, last, k, tile, first, stop):
    steps, _, length = spikes.shape
    tiles = (length + tile - 1) // tile
    per_step = 1 if y.shape[0] > 1 else 0
    x, w, gates = np.empty(tile, np.float32), np.empty(tile, np.float32), np.empty(tile, np.float32)
    for item in range(first, stop):
        n, lo = item // tiles, item % tiles * tile
        hi = min(lo + tile, length)
        x_t, v_t = x[: hi - lo], w[: hi - lo]
        if v is None:
            v_t[:] = 0
        else:
            v_t[:] = v[n, lo:hi]
        for t in range(steps):
            _current(x_t, y[t * per_step, n, lo:hi], scale, shift, None if gate is None else gate[t, n], gates)
            _fire(spikes[t, n, lo:hi], x_t, v_t, k)
        last[n, lo:hi] = v_t


@cache
def _backward(surrogate: str):
    fire_backward = _fire_backward(surrogate)

    @compile
    def backward(y, scale, shift, gate, v, grad, grad_last, dy, dscale, dshift, dgate, dv, steps, k, tile, first, stop):
        length = y.shape[2]
        tiles = (length + tile - 1) // tile
        per_step, per_grad = (1 if y.shape[0] > 1 else 0), (1 if grad.shape[0] > 1 else 0)
        summed = dy.shape[0] < steps  # a static input: its gradient is the sum over time
        u, w = np.empty((steps, tile), np.float32), np.empty(tile, np.float32)
        x, gates, total = np.empty(tile, np.float32), np.empty(tile, np.float32), np.empty(tile, np.float32)
        for item in range(first, stop):
            n, lo = item // tiles, item % tiles * tile
            hi = min(lo + tile, length)
            m = hi - lo
            v_t, x_t = w[:m], x[:m]
            if v is None:
                v_t[:] = 0
            else:
                v_t[:] = v[n, lo:hi]
            for t in range(steps):
                _current(u[t, :m], y[t * per_step, n, lo:hi], scale, shift, None if gate is None else gate[t, n], gates)
                _membrane(u[t, :m], v_t, k)
            v_t[:] = grad_last[n, lo:hi]
            total[:m] = 0
            for t in range(steps - 1, -1, -1):
                dx, y_t = u[t, :m], y[t * per_step, n, lo:hi]
                fire_backward(dx, grad[t * per_grad, n, lo:hi], v_t, k)
                if gate is not None:
                    affine(x_t, y_t, scale[:m], shift[:m])
                    multiply(x_t, dx)
                    fold(x_t, gate.shape[2])
                    accumulate(dgate[t, n], x_t[: gate.shape[2]])
                    repeat(gates[:m], gate[t, n])
                    multiply(dx, gates[:m])
                if scale is not None:
                    accumulate_affine(dscale[:m], dshift[:m], dx, y_t)
                    multiply(dx, scale[:m])
                if summed:
                    accumulate(total[:m], dx)
                else:
                    write(dy[t, n, lo:hi], dx)
            if summed:
                write(dy[0, n, lo:hi], total[:m])
            dv[n, lo:hi] = v_t

    return backward


def _table(values: Tensor | None, tile: int):
    """Per-channel values repeated along a tile."""
    return None if values is None else array(values.detach().float().repeat(tile // values.numel()))


def _state(v: Tensor | None, permutation: list[int], walked: Tensor):
    if v is None:
        return None
    permuted = layout.dense(v.detach().float().unsqueeze(0), permutation)
    return array(permuted.reshape(walked.shape[1:]))


class _Walk:
    """The tensors of one call as the kernels take them."""

    def __init__(self, y, scale, shift, gate, v, steps, constants, surrogate) -> None:
        self.channels = scale is not None
        self.permutation = layout.order(y, self.channels)
        self.steps = steps
        self.y = layout.walk(y, self.permutation, self.channels)
        _, self.n, length = self.y.shape
        self.period = scale.numel() if self.channels else 1  # values after which the channels repeat
        self.tile = min(max(1, TILE // self.period) * self.period, max(length, 1))
        self.items = self.n * -(-length // self.tile)
        self.parts = threads.chunks(self.items, steps * self.n * length)
        self.inputs = (
            array(self.y),
            _table(scale, self.tile),
            _table(shift, self.tile),
            None if gate is None else array(gate.detach().float().contiguous()),
            _state(v, self.permutation, self.y),
        )
        self.constants = Constants(*map(np.float32, constants))
        self.surrogate = surrogate


def _rows(x: Tensor, permutation: list[int], like: Tensor):
    """An output as the kernels write it, [T, N, R], sharing its memory."""
    return array(x.permute(permutation).view(x.shape[0], *like.shape[1:]))


def forward(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: list[float],
    surrogate: str,
) -> tuple[Tensor, Tensor]:
    """Spikes [T, ...] in the type of y and the last membrane, float32. Arguments: register.py."""
    w = _Walk(y, scale, shift, gate, v, steps, constants, surrogate)
    spikes = layout.new(y, w.permutation, steps)
    last = layout.new(y, w.permutation, 1, dtype=torch.float32)
    out = _rows(spikes, w.permutation, w.y), _rows(last, w.permutation, w.y)[0]
    threads.run(lambda _, lo, hi: _forward(*w.inputs, *out, w.constants, w.tile, lo, hi), w.items, w.parts)
    return spikes, last[0]


def backward(
    grad: Tensor,
    grad_last: Tensor,
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: list[float],
    surrogate: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of y, scale, shift, gate and v; those of an absent scale, shift, gate are empty."""
    w = _Walk(y, scale, shift, gate, v, steps, constants, surrogate)
    dy = layout.new(y, w.permutation, y.shape[0])
    dv = layout.new(y, w.permutation, 1, dtype=torch.float32)
    partial = torch.zeros(2, w.parts, w.tile if w.channels else 0)
    dgate = torch.zeros(w.parts, *(gate.shape if gate is not None else (0,)))
    rows = lambda x: _rows(x, w.permutation, w.y)  # noqa: E731
    upstream = array(layout.walk(grad.expand(steps, *y.shape[1:]), w.permutation, w.channels))
    last = _state(grad_last, w.permutation, w.y)
    kernel = _backward(surrogate)

    def task(part: int, lo: int, hi: int) -> None:
        sums = (array(partial[0, part]), array(partial[1, part])) if w.channels else (None, None)
        gates = None if gate is None else array(dgate[part])
        kernel(*w.inputs, upstream, last, rows(dy), *sums, gates, rows(dv)[0], steps, w.constants, w.tile, lo, hi)

    threads.run(task, w.items, w.parts)
    repeats = w.tile // w.period if w.channels else 1
    dscale, dshift = (p.view(w.parts * repeats, -1).sum(0, dtype=torch.float64).float() for p in partial)
    return dy, dscale, dshift, dgate.sum(0), dv[0]
