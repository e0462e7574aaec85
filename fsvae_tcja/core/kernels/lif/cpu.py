"""LIF on the CPU, forward and backward, compiled by Numba. Derivation: README.md of this folder.

A tile of neurons is carried through all T steps, a chunk of it at a time, while its membranes lie in the cache.

What the kernels take, in this order; an array of size 0 stands for what is not there:

    inputs   y [T or 1, N, R] as stored; scale, shift [chunk], repeated along it; current_gate, spike_gate [T, N, C];
             v [N, R]: the membrane before the first step
    forward  spikes [T, N, R] as stored, gated; last [N, R]: membrane after the last step; total [N, R]: gated spikes
             summed over T; rate [T, N, C]: spikes summed over space
    backward grad [T or 1, N, R] as stored, grad_last [N, R]: of spikes and last. Of the inputs: dy as y; total [N, R]
             in place of dy for a static y; dscale, dshift [chunk], dcurrent_gate, dspike_gate [T, N, C], dv [N, R]
    numbers  steps: T; neuron: `params.Constants`; tile, chunk: neurons; first, stop: which of the N x tiles to do

R = P*C values, channel innermost. float32 but for what is stored like y.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...params import Constants
from ...surrogate import SURROGATES, Rule
from ..common import layout, threads
from ..common.rows import (
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
from ..common.storage import array, compile, kernel, narrow, widen
from .inputs import Gradients, Inputs

MEMBRANES = 1 << 18  # of a tile over all steps: they fit the second-level cache
TILE = 1 << 15  # neurons, at most
CHUNK = 2048  # neurons whose tables and intermediate rows fit the first-level cache


@compile
def _fire_row(spikes, y, v, neuron):
    """s_t of the current y, and v_{t-1} -> v_t in place."""
    one, zero = narrow(spikes, np.float32(1)), narrow(spikes, np.float32(0))
    for j in range(v.size):
        u = neuron.decay * v[j] + neuron.gain * widen(y[j])
        fired = u > neuron.threshold
        spikes[j] = one if fired else zero
        v[j] = neuron.keep * u - neuron.drop if fired else u


@compile
def _fire_row_affine(spikes, y, v, scale, shift, neuron):
    """The same of the current scale y + shift."""
    one, zero = narrow(spikes, np.float32(1)), narrow(spikes, np.float32(0))
    for j in range(v.size):
        u = neuron.decay * v[j] + neuron.gain * (scale[j] * widen(y[j]) + shift[j])
        fired = u > neuron.threshold
        spikes[j] = one if fired else zero
        v[j] = neuron.keep * u - neuron.drop if fired else u


@compile
def _membrane_row(u, y, v, neuron):
    """u_t of the current y, and v_{t-1} -> v_t in place."""
    for j in range(v.size):
        u_j = neuron.decay * v[j] + neuron.gain * widen(y[j])
        u[j] = u_j
        v[j] = neuron.keep * u_j - neuron.drop if u_j > neuron.threshold else u_j


@compile
def _membrane_row_affine(u, y, v, scale, shift, neuron):
    """The same of the current scale y + shift."""
    for j in range(v.size):
        u_j = neuron.decay * v[j] + neuron.gain * (scale[j] * widen(y[j]) + shift[j])
        u[j] = u_j
        v[j] = neuron.keep * u_j - neuron.drop if u_j > neuron.threshold else u_j


@compile
def _accumulate_fired(total, grad, u, neuron):
    """total += grad s_t."""
    for j in range(u.size):
        total[j] += widen(grad[j]) if u[j] > neuron.threshold else np.float32(0)


@cache
def _fire_row_backward(rule: Rule):
    derivative = compile(rule.derivative)

    @compile
    def fire_row_backward(dx, u, grad, v, neuron):
        """dL/ds_t -> dL/dx_t, and dL/dv_t -> dL/dv_{t-1} in place."""
        for j in range(u.size):
            after = neuron.keep * u[j] - neuron.drop
            dv = v[j]
            ds = widen(grad[j]) - neuron.through * dv * (u[j] - after)
            slope = derivative(abs(u[j] - neuron.centre), neuron.a, neuron.b)
            du = ds * slope + (neuron.keep * dv if u[j] > neuron.threshold else dv)
            dx[j] = narrow(dx, neuron.gain * du)
            v[j] = neuron.decay * du

    return fire_row_backward


@compile
def _start(state, v, n, lo, hi):
    """The membrane or gradient that a tile starts from: zero if there is none."""
    if v.size:
        read(state[: hi - lo], v[n, lo:hi])
    else:
        state[:] = 0


@kernel
def _forward(
    y, scale, shift, current_gate, spike_gate, v,
    spikes, last, total, rate,
    steps, neuron, tile, chunk, first, stop,
):  # fmt: skip
    """Writes the outputs that there are."""
    length = y.shape[2]
    tiles = (length + tile - 1) // tile
    per_step = 1 if y.shape[0] > 1 else 0
    state, rows = scratch(tile), scratch(5 * chunk).reshape(5, chunk)
    x, s, counts, gate, factor = rows[0], rows[1], rows[2], rows[3], rows[4]
    for item in range(first, stop):
        n, lo = item // tiles, item % tiles * tile
        hi = min(lo + tile, length)
        _start(state, v, n, lo, hi)
        if total.size:
            total[n, lo:hi] = 0
        for t in range(steps):
            if current_gate.size:
                repeat(gate, current_gate[t, n])
            if spike_gate.size:
                repeat(factor, spike_gate[t, n])
            counts[:] = 0
            for at in range(lo, hi, chunk):
                to = min(at + chunk, hi)
                m = to - at
                y_t, v_t, s_t = y[t * per_step, n, at:to], state[at - lo : to - lo], s[:m]
                if current_gate.size:
                    affine(x[:m], y_t, scale[:m], shift[:m])
                    multiply(x[:m], gate[:m])
                if spikes.size and not spike_gate.size:
                    # Written out twice: in a function of its own, LLVM makes the loop a quarter slower.
                    if current_gate.size:
                        _fire_row(spikes[t, n, at:to], x[:m], v_t, neuron)
                    elif scale.size:
                        _fire_row_affine(spikes[t, n, at:to], y_t, v_t, scale[:m], shift[:m], neuron)
                    else:
                        _fire_row(spikes[t, n, at:to], y_t, v_t, neuron)
                    continue
                if current_gate.size:
                    _fire_row(s_t, x[:m], v_t, neuron)
                else:
                    _fire_row_affine(s_t, y_t, v_t, scale[:m], shift[:m], neuron)
                if spikes.size:
                    write_product(spikes[t, n, at:to], s_t, factor[:m])
                if total.size:
                    accumulate_product(total[n, at:to], s_t, factor[:m])
                if rate.size:
                    accumulate(counts[:m], s_t)
            if rate.size:
                fold(counts[: min(chunk, hi - lo)], rate.shape[2])
                accumulate(rate[t, n], counts[: rate.shape[2]])
        if last.size:
            write(last[n, lo:hi], state)


@cache
def _backward(rule: Rule):
    fire_row_backward = _fire_row_backward(rule)

    @kernel
    def backward(
        y, scale, shift, current_gate, spike_gate, v,
        grad, grad_last,
        dy, total, dscale, dshift, dcurrent_gate, dspike_gate, dv,
        steps, neuron, tile, chunk, first, stop,
    ):  # fmt: skip
        """Without `grad` the spike_gate is all of dL/ds, and dy is added to."""
        length = y.shape[2]
        tiles = (length + tile - 1) // tile
        per_step, per_grad = (1 if y.shape[0] > 1 else 0), (1 if grad.shape[0] > 1 else 0)
        u, state = scratch(steps * tile).reshape(steps, tile), scratch(tile)
        rows = scratch(6 * chunk).reshape(6, chunk)
        x, g, gate, factor = rows[0], rows[1], rows[2], rows[3]
        gate_sum, factor_sum = rows[4], rows[5]
        for item in range(first, stop):
            n, lo = item // tiles, item % tiles * tile
            hi = min(lo + tile, length)
            _start(state, v, n, lo, hi)
            for t in range(steps):
                if current_gate.size:
                    repeat(gate, current_gate[t, n])
                for at in range(lo, hi, chunk):
                    to = min(at + chunk, hi)
                    m, here = to - at, at - lo
                    y_t, u_t, v_t = y[t * per_step, n, at:to], u[t, here : here + m], state[here : here + m]
                    if current_gate.size:
                        affine(x[:m], y_t, scale[:m], shift[:m])
                        multiply(x[:m], gate[:m])
                        _membrane_row(u_t, x[:m], v_t, neuron)
                    elif scale.size:
                        _membrane_row_affine(u_t, y_t, v_t, scale[:m], shift[:m], neuron)
                    else:
                        _membrane_row(u_t, y_t, v_t, neuron)
            _start(state, grad_last, n, lo, hi)
            if total.size:
                total[n, lo:hi] = 0
            for t in range(steps - 1, -1, -1):
                if current_gate.size:
                    repeat(gate, current_gate[t, n])
                if spike_gate.size:
                    repeat(factor, spike_gate[t, n])
                gate_sum[:] = 0
                factor_sum[:] = 0
                for at in range(lo, hi, chunk):
                    to = min(at + chunk, hi)
                    m, here = to - at, at - lo
                    y_t, u_t, v_t, dx = y[t * per_step, n, at:to], u[t, here : here + m], state[here : here + m], x[:m]
                    if not grad.size:
                        fire_row_backward(dx, u_t, factor[:m], v_t, neuron)
                    elif spike_gate.size:
                        _accumulate_fired(factor_sum[:m], grad[t * per_grad, n, at:to], u_t, neuron)
                        product(g[:m], grad[t * per_grad, n, at:to], factor[:m])
                        fire_row_backward(dx, u_t, g[:m], v_t, neuron)
                    elif scale.size or total.size:
                        fire_row_backward(dx, u_t, grad[t * per_grad, n, at:to], v_t, neuron)
                    else:
                        fire_row_backward(dy[t, n, at:to], u_t, grad[t * per_grad, n, at:to], v_t, neuron)
                        continue
                    if current_gate.size:
                        affine(g[:m], y_t, scale[:m], shift[:m])
                        accumulate_product(gate_sum[:m], g[:m], dx)
                        multiply(dx, gate[:m])
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
                if dcurrent_gate.size:
                    fold(gate_sum[:width], current_gate.shape[2])
                    accumulate(dcurrent_gate[t, n], gate_sum[: current_gate.shape[2]])
                if dspike_gate.size:
                    fold(factor_sum[:width], spike_gate.shape[2])
                    accumulate(dspike_gate[t, n], factor_sum[: spike_gate.shape[2]])
            if dv.size:
                write(dv[n, lo:hi], state)

    return backward


@cache
def _nothing(dimensions: int) -> Any:
    """Stands for None, so that a kernel is compiled once for all uses."""
    return np.empty([0] * dimensions, np.float32)


@cache
def _neuron(constants: tuple[float, ...]) -> Constants:
    return Constants._make(map(np.float32, constants))


def _given(x: Tensor | None, dimensions: int) -> Any:
    return _nothing(dimensions) if x is None else array(x)


class _Call:
    """The tensors of one call in the form that the kernels take, and how its work is divided."""

    def __init__(self, inputs: Inputs, steps: int, constants: Sequence[float]) -> None:
        y, scale, shift, current_gate, spike_gate, v = inputs
        self.channels = scale is not None
        self.permutation = layout.order(y, self.channels)
        self.like, self.y = y, layout.rows(y, self.permutation, self.channels)
        _, self.n, length = self.y.shape
        self.period = 1 if scale is None else scale.numel()  # values after which the channels repeat
        whole = lambda size: max(1, size // self.period) * self.period  # noqa: E731
        self.chunk = min(whole(CHUNK), max(length, 1))
        self.tile = max(self.chunk, min(TILE, MEMBRANES // steps) // self.chunk * self.chunk)
        self.items = self.n * -(-length // self.tile)
        self.parts = threads.chunks(self.items, steps * self.n * length)
        tables = (None if x is None else layout.repeated(x, self.chunk // self.period) for x in (scale, shift))
        gates = (None if x is None else x.detach().float().contiguous() for x in (current_gate, spike_gate))
        self.inputs = (
            array(self.y),
            *(_given(x, 1) for x in tables),
            *(_given(x, 3) for x in gates),
            self.state(v),
        )
        self.numbers = steps, _neuron(tuple(constants)), self.tile, self.chunk

    def rows(self, x: Tensor) -> Any:
        """An output as the kernels write it, [T, N, R], sharing its memory."""
        return array(x.permute(self.permutation).view(x.shape[0], *self.y.shape[1:]))

    def state(self, v: Tensor | None) -> Any:
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
        return torch.empty(self.parts, 0, 0, 0) if like is None else torch.zeros(self.parts, *like.shape)

    def forward(self, spikes: Any = None, last: Any = None, total: Any = None, rate: Tensor | None = None) -> None:
        """Run the kernel; the outputs that are given: rows, and for the rate one table [T, N, C] for each part."""
        spikes = array(self.y.new_empty(0, 0, 0)) if spikes is None else spikes
        none = _given(None, 2)
        outputs = spikes, none if last is None else last, none if total is None else total

        def task(part: int, lo: int, hi: int) -> None:
            _forward(*self.inputs, *outputs, _given(None if rate is None else rate[part], 3), *self.numbers, lo, hi)

        threads.run(task, self.items, self.parts)


def fire(inputs: Inputs, steps: int, constants: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Gated spikes [T, ...] in the type of y and the last membrane, float32."""
    call = _Call(inputs, steps, constants)
    spikes = layout.new(inputs.y, call.permutation, steps)
    last, rows = call.new_state()
    call.forward(spikes=call.rows(spikes), last=rows)
    return spikes, last


def spike_sum(inputs: Inputs, steps: int, constants: Sequence[float]) -> Tensor:
    """The gated spikes summed over time [N, C, ...], float32. Needs scale, shift and spike_gate."""
    call = _Call(inputs, steps, constants)
    summed, rows = call.new_state()
    call.forward(total=rows)
    return summed


def spike_rate(inputs: Inputs, steps: int, constants: Sequence[float]) -> Tensor:
    """The mean of the spikes over space [T, N, C], float32. Needs scale and shift."""
    call = _Call(inputs, steps, constants)
    counts = torch.zeros(call.parts, steps, *inputs.y.shape[1:3])
    call.forward(rate=counts)
    return counts.sum(0) * (call.period / max(1, call.y.shape[2]))


def backward(
    grad: Tensor | None,
    grad_last: Tensor | None,
    inputs: Inputs,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
    dy: Tensor | None = None,
) -> Gradients:
    """Gradients of the inputs, for those of the gated spikes [T, ...] and of the last membrane [...].

    A `grad` of None is one everywhere, so that dL/ds is the spike gate, whose gradient is then not computed, and `dy`
    must be given: it is added to, in place.
    """
    call, y = _Call(inputs, steps, constants), inputs.y
    out = layout.new(y, call.permutation, len(y)) if dy is None else dy
    total, total_rows = call.new_state(len(y) < steps)
    dv, dv_rows = call.new_state(inputs.v is not None)
    sums = torch.zeros(2, call.parts, call.chunk if call.channels else 0)
    dcurrent_gate = call.partial(inputs.current_gate)
    dspike_gate = call.partial(None if grad is None else inputs.spike_gate)
    if grad is None:
        upstream = y.new_empty(0, 0, 0)
    else:
        upstream = layout.rows(grad.expand(steps, *y.shape[1:]), call.permutation, call.channels)
    tensors = *call.inputs, array(upstream), call.state(grad_last), call.rows(out), total_rows
    run = _backward(SURROGATES[surrogate])

    def task(part: int, lo: int, hi: int) -> None:
        partial = (array(x[part]) for x in (*sums, dcurrent_gate, dspike_gate))
        run(*tensors, *partial, dv_rows, *call.numbers, lo, hi)

    threads.run(task, call.items, call.parts)
    if total.numel():
        out.copy_(total if dy is None else out + total)
    repeats = call.chunk // call.period if call.channels else 1
    dscale, dshift = (x.float() for x in sums.view(2, call.parts * repeats, -1).sum(1, dtype=torch.float64))
    return Gradients(out, dscale, dshift, _total(dcurrent_gate), _total(dspike_gate), dv)


def _total(partial: Tensor) -> Tensor:
    """The sum of what each part of the work found."""
    return partial.sum(0) if len(partial) > 1 else partial[0]
