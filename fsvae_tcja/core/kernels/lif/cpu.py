"""LIF on the CPU, forward and backward, compiled by Numba. Derivation: README.md of this folder.

A tile of neurons is carried through all T steps, a chunk of it at a time, while its membranes lie in the cache.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...surrogate import SURROGATES
from .. import threads
from ..neuron import Constants
from ..rows import (
    accumulate,
    accumulate_affine,
    accumulate_product,
    add_product,
    affine,
    fold,
    multiply,
    product,
    read,
    repeat,
    scratch,
    write,
    write_product,
)
from ..storage import array, compile, kernel, narrow, widen
from . import layout

MEMBRANES = 1 << 18  # of a tile over all steps: they fit the second-level cache
TILE = 1 << 15  # neurons, at most
CHUNK = 2048  # neurons whose tables and intermediate rows fit the first-level cache


@compile
def _fire(spikes, y, v, k):
    """s_t of the current y, and v_{t-1} -> v_t in place."""
    one, zero = narrow(spikes, np.float32(1)), narrow(spikes, np.float32(0))
    for j in range(v.size):
        u = k.decay * v[j] + k.gain * widen(y[j])
        fired = u > k.threshold
        spikes[j] = one if fired else zero
        v[j] = k.keep * u - k.drop if fired else u


@compile
def _fire_affine(spikes, y, v, scale, shift, k):
    """The same of the current scale y + shift."""
    one, zero = narrow(spikes, np.float32(1)), narrow(spikes, np.float32(0))
    for j in range(v.size):
        u = k.decay * v[j] + k.gain * (scale[j] * widen(y[j]) + shift[j])
        fired = u > k.threshold
        spikes[j] = one if fired else zero
        v[j] = k.keep * u - k.drop if fired else u


@compile
def _membrane(u, y, v, k):
    """u_t of the current y, and v_{t-1} -> v_t in place."""
    for j in range(v.size):
        u_j = k.decay * v[j] + k.gain * widen(y[j])
        u[j] = u_j
        v[j] = k.keep * u_j - k.drop if u_j > k.threshold else u_j


@compile
def _membrane_affine(u, y, v, scale, shift, k):
    """The same of the current scale y + shift."""
    for j in range(v.size):
        u_j = k.decay * v[j] + k.gain * (scale[j] * widen(y[j]) + shift[j])
        u[j] = u_j
        v[j] = k.keep * u_j - k.drop if u_j > k.threshold else u_j


@compile
def _accumulate_fired(total, grad, u, k):
    """total += grad s_t."""
    for j in range(u.size):
        total[j] += widen(grad[j]) if u[j] > k.threshold else np.float32(0)


@cache
def _fire_backward(surrogate: str):
    derivative = compile(SURROGATES[surrogate].derivative)

    @compile
    def fire_backward(dx, u, grad, v, k):
        """dL/ds_t -> dL/dx_t, and dL/dv_t -> dL/dv_{t-1} in place."""
        for j in range(u.size):
            after = k.keep * u[j] - k.drop
            dv = v[j]
            ds = widen(grad[j]) - k.through * dv * (u[j] - after)
            du = ds * derivative(abs(u[j] - k.centre), k.a, k.b) + (k.keep * dv if u[j] > k.threshold else dv)
            dx[j] = narrow(dx, k.gain * du)
            v[j] = k.decay * du

    return fire_backward


@compile
def _start(state, v, n, lo, hi):
    """The membrane or gradient that a tile starts from: zero if there is none."""
    if v.size:
        read(state[: hi - lo], v[n, lo:hi])
    else:
        state[:] = 0


@kernel
def _forward(y, scale, shift, gate, weight, v, spikes, last, total, rate, steps, k, tile, chunk, first, stop):
    """Writes the outputs that there are: weighted spikes, last membrane, their weighted sum over T, that over space."""
    length = y.shape[2]
    tiles = (length + tile - 1) // tile
    per_step = 1 if y.shape[0] > 1 else 0
    state, rows = scratch(tile), scratch(5 * chunk).reshape(5, chunk)
    x, s, counts, gates, weights = rows[0], rows[1], rows[2], rows[3], rows[4]
    for item in range(first, stop):
        n, lo = item // tiles, item % tiles * tile
        hi = min(lo + tile, length)
        _start(state, v, n, lo, hi)
        if total.size:
            total[n, lo:hi] = 0
        for t in range(steps):
            if gate.size:
                repeat(gates, gate[t, n])
            if weight.size:
                repeat(weights, weight[t, n])
            counts[:] = 0
            for at in range(lo, hi, chunk):
                to = min(at + chunk, hi)
                m = to - at
                y_t, v_t, s_t = y[t * per_step, n, at:to], state[at - lo : to - lo], s[:m]
                if gate.size:
                    affine(x[:m], y_t, scale[:m], shift[:m])
                    multiply(x[:m], gates[:m])
                if spikes.size and not weight.size:
                    if gate.size:
                        _fire(spikes[t, n, at:to], x[:m], v_t, k)
                    elif scale.size:
                        _fire_affine(spikes[t, n, at:to], y_t, v_t, scale[:m], shift[:m], k)
                    else:
                        _fire(spikes[t, n, at:to], y_t, v_t, k)
                    continue
                if gate.size:
                    _fire(s_t, x[:m], v_t, k)
                else:
                    _fire_affine(s_t, y_t, v_t, scale[:m], shift[:m], k)
                if spikes.size:
                    write_product(spikes[t, n, at:to], s_t, weights[:m])
                if total.size:
                    accumulate_product(total[n, at:to], s_t, weights[:m])
                if rate.size:
                    accumulate(counts[:m], s_t)
            if rate.size:
                fold(counts[: min(chunk, hi - lo)], rate.shape[2])
                accumulate(rate[t, n], counts[: rate.shape[2]])
        if last.size:
            write(last[n, lo:hi], state)


@cache
def _backward(surrogate: str):
    fire_backward = _fire_backward(surrogate)

    @kernel
    def backward(
        y, scale, shift, gate, weight, v, grad, grad_last,
        dy, total, dscale, dshift, dgate, dweight, dv, steps, k, tile, chunk, first, stop,
    ):  # fmt: skip
        """Without `grad` the weight is all of dL/ds, and dy is added to. A static input has `total` in place of dy."""
        length = y.shape[2]
        tiles = (length + tile - 1) // tile
        per_step, per_grad = (1 if y.shape[0] > 1 else 0), (1 if grad.shape[0] > 1 else 0)
        u, state = scratch(steps * tile).reshape(steps, tile), scratch(tile)
        rows = scratch(6 * chunk).reshape(6, chunk)
        x, g, gates, weights, sum_gate, sum_weight = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
        for item in range(first, stop):
            n, lo = item // tiles, item % tiles * tile
            hi = min(lo + tile, length)
            _start(state, v, n, lo, hi)
            for t in range(steps):
                if gate.size:
                    repeat(gates, gate[t, n])
                for at in range(lo, hi, chunk):
                    to = min(at + chunk, hi)
                    m, here = to - at, at - lo
                    y_t, u_t, v_t = y[t * per_step, n, at:to], u[t, here : here + m], state[here : here + m]
                    if gate.size:
                        affine(x[:m], y_t, scale[:m], shift[:m])
                        multiply(x[:m], gates[:m])
                        _membrane(u_t, x[:m], v_t, k)
                    elif scale.size:
                        _membrane_affine(u_t, y_t, v_t, scale[:m], shift[:m], k)
                    else:
                        _membrane(u_t, y_t, v_t, k)
            _start(state, grad_last, n, lo, hi)
            if total.size:
                total[n, lo:hi] = 0
            for t in range(steps - 1, -1, -1):
                if gate.size:
                    repeat(gates, gate[t, n])
                if weight.size:
                    repeat(weights, weight[t, n])
                sum_gate[:] = 0
                sum_weight[:] = 0
                for at in range(lo, hi, chunk):
                    to = min(at + chunk, hi)
                    m, here = to - at, at - lo
                    y_t, u_t, v_t, dx = y[t * per_step, n, at:to], u[t, here : here + m], state[here : here + m], x[:m]
                    if not grad.size:
                        fire_backward(dx, u_t, weights[:m], v_t, k)
                    elif weight.size:
                        _accumulate_fired(sum_weight[:m], grad[t * per_grad, n, at:to], u_t, k)
                        product(g[:m], grad[t * per_grad, n, at:to], weights[:m])
                        fire_backward(dx, u_t, g[:m], v_t, k)
                    elif scale.size or total.size:
                        fire_backward(dx, u_t, grad[t * per_grad, n, at:to], v_t, k)
                    else:
                        fire_backward(dy[t, n, at:to], u_t, grad[t * per_grad, n, at:to], v_t, k)
                        continue
                    if gate.size:
                        affine(g[:m], y_t, scale[:m], shift[:m])
                        accumulate_product(sum_gate[:m], g[:m], dx)
                        multiply(dx, gates[:m])
                    if not scale.size:
                        accumulate(total[n, at:to], dx)
                        continue
                    accumulate_affine(dscale[:m], dshift[:m], dx, y_t)
                    if total.size:
                        accumulate_product(total[n, at:to], dx, scale[:m])
                    elif grad.size:
                        write_product(dy[t, n, at:to], dx, scale[:m])
                    else:
                        add_product(dy[t, n, at:to], dx, scale[:m])
                width = min(chunk, hi - lo)
                if dgate.size:
                    fold(sum_gate[:width], gate.shape[2])
                    accumulate(dgate[t, n], sum_gate[: gate.shape[2]])
                if dweight.size:
                    fold(sum_weight[:width], weight.shape[2])
                    accumulate(dweight[t, n], sum_weight[: weight.shape[2]])
            if dv.size:
                write(dv[n, lo:hi], state)

    return backward


@cache
def _nothing(dimensions: int):
    """Stands for None, so that a kernel is compiled once for all uses."""
    return np.empty([0] * dimensions, np.float32)


def _given(x: Tensor | None, dimensions: int):
    return _nothing(dimensions) if x is None else array(x)


class _Walk:
    """The tensors of one call as the kernels take them."""

    def __init__(self, y, scale, shift, gate, weight, v, steps, constants) -> None:
        self.channels = scale is not None
        self.permutation = layout.order(y, self.channels)
        self.like, self.y = y, layout.walk(y, self.permutation, self.channels)
        _, self.n, length = self.y.shape
        self.period = scale.numel() if self.channels else 1  # values after which the channels repeat
        whole = lambda size: max(1, size // self.period) * self.period  # noqa: E731
        self.chunk = min(whole(CHUNK), max(length, 1))
        self.tile = max(self.chunk, min(TILE, MEMBRANES // steps) // self.chunk * self.chunk)
        self.items = self.n * -(-length // self.tile)
        self.parts = threads.chunks(self.items, steps * self.n * length)
        tables = (None if x is None else x.detach().float().repeat(self.chunk // self.period) for x in (scale, shift))
        factors = (None if x is None else x.detach().float().contiguous() for x in (gate, weight))
        self.inputs = (
            array(self.y),
            *(_given(x, 1) for x in tables),  # repeated along a chunk
            *(_given(x, 3) for x in factors),
            self.state(v),
        )
        self.settings = steps, Constants(*map(np.float32, constants)), self.tile, self.chunk

    def rows(self, x: Tensor):
        """An output as the kernels write it, [T, N, R], sharing its memory."""
        return array(x.permute(self.permutation).view(x.shape[0], *self.y.shape[1:]))

    def state(self, v: Tensor | None):
        """A membrane or its gradient [...] as the kernels read it, [N, R]."""
        if v is not None:
            v = layout.dense(v.detach().float().unsqueeze(0), self.permutation).reshape(self.y.shape[1:])
        return _given(v, 2)

    def new_state(self, wanted: bool = True) -> tuple[Tensor, Any]:
        """Memory for a membrane or the like [...], float32, and its rows [N, R]; empty if it is not wanted."""
        if not wanted:
            return torch.empty(0), _given(None, 2)
        new = layout.new(self.like, self.permutation, 1, dtype=torch.float32)
        return new[0], self.rows(new)[0]

    def partial(self, like: Tensor | None) -> Tensor:
        """Zeros of its shape [T, N, C] for each part of the work, to be summed; empty for None."""
        return torch.zeros(self.parts, *([0, 0, 0] if like is None else like.shape))

    def forward(self, spikes=None, last=None, total=None, rate: Tensor | None = None) -> None:
        """Run the kernel; the outputs that are given: rows, and for the rate one table [T, N, C] for each part."""
        spikes = array(self.y.new_empty(0, 0, 0)) if spikes is None else spikes
        none = _given(None, 2)
        outputs = spikes, none if last is None else last, none if total is None else total

        def task(part: int, lo: int, hi: int) -> None:
            _forward(*self.inputs, *outputs, _given(None if rate is None else rate[part], 3), *self.settings, lo, hi)

        threads.run(task, self.items, self.parts)


def forward(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    weight: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: list[float],
) -> tuple[Tensor, Tensor]:
    """Weighted spikes [T, ...] in the type of y and the last membrane, float32. Arguments: register.py."""
    w = _Walk(y, scale, shift, gate, weight, v, steps, constants)
    spikes = layout.new(y, w.permutation, steps)
    last, rows = w.new_state()
    w.forward(spikes=w.rows(spikes), last=rows)
    return spikes, last


def total(
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    gate: Tensor | None,
    weight: Tensor,
    steps: int,
    constants: list[float],
) -> Tensor:
    """The weighted spikes summed over time [N, C, ...], float32."""
    w = _Walk(y, scale, shift, gate, weight, None, steps, constants)
    summed, rows = w.new_state()
    w.forward(total=rows)
    return summed


def rate(y: Tensor, scale: Tensor, shift: Tensor, steps: int, constants: list[float]) -> Tensor:
    """The mean of the spikes over space [T, N, C], float32."""
    w = _Walk(y, scale, shift, None, None, None, steps, constants)
    counts = torch.zeros(w.parts, steps, *y.shape[1:3])
    w.forward(rate=counts)
    return counts.sum(0) * (w.period / w.y.shape[2])


def backward(
    grad: Tensor | None,
    grad_last: Tensor | None,
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    weight: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: list[float],
    surrogate: str,
    dy: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of y, scale, shift, gate, weight and v; those of absent inputs are empty.

    A `grad` of None is one everywhere, so that dL/ds is the weight, whose gradient is then not computed, and `dy` must
    be given: it is added to, in place.
    """
    w = _Walk(y, scale, shift, gate, weight, v, steps, constants)
    out = layout.new(y, w.permutation, len(y)) if dy is None else dy
    total, total_rows = w.new_state(len(y) < steps)
    dv, dv_rows = w.new_state(v is not None)
    sums = torch.zeros(2, w.parts, w.chunk if w.channels else 0)
    dgate, dweight = w.partial(gate), w.partial(None if grad is None else weight)
    if grad is None:
        upstream = y.new_empty(0, 0, 0)
    else:
        upstream = layout.walk(grad.expand(steps, *y.shape[1:]), w.permutation, w.channels)
    inputs = *w.inputs, array(upstream), w.state(grad_last), w.rows(out), total_rows
    run = _backward(surrogate)

    def task(part: int, lo: int, hi: int) -> None:
        partial = (array(x[part]) for x in (*sums, dgate, dweight))
        run(*inputs, *partial, dv_rows, *w.settings, lo, hi)

    threads.run(task, w.items, w.parts)
    if total.numel():
        out.copy_(total if dy is None else out + total)
    repeats = w.chunk // w.period if w.channels else 1
    dscale, dshift = (p.view(w.parts * repeats, -1).sum(0, dtype=torch.float64).float() for p in sums)
    return out, dscale, dshift, dgate.sum(0), dweight.sum(0), dv
