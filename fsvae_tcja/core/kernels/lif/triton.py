"""LIF on the GPU, forward and backward, in Triton. Derivation: README.md of this folder.

A program carries a tile of P positions x C channels of one sample through the steps, membranes in registers. Without
per-channel input all neurons count as channels of one position.

What the kernels take, in this order; None stands for what is not there:

    inputs   y [T, N, P, C] as stored, its steps y_step apart (0: the same at each); scale, shift [C];
             current_gate, spike_gate [T, N, C]; v [N, P, C]: the membrane before the first step
    forward  spikes [T, N, P, C] as stored, gated; last [N, P, C]: the membrane after the last step; total [N, P, C]:
             gated spikes summed over T; rate [blocks, T, N, C]: spikes summed over the positions of a block
    backward grad [T, N, P, C] as stored, its steps grad_step apart: of the spikes; dv [N, P, C]: of the membrane after
             the last step, left with that before the first; dy as y; dscale, dshift [blocks, N, C], dcurrent_gate,
             dspike_gate [blocks, T, N, C]: to be summed over blocks
    numbers  steps: T; N, P, C; neuron: `params.Constants`; flags: what there is, and what is wanted

float32 but for what is stored like y.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ...params import Constants
from ...surrogate import SURROGATES, Rule
from ..common import layout
from ..common.device import on_its_device
from .inputs import Gradients, Inputs

TILE = 256  # neurons: 2 a thread, whose membranes of SPAN steps fit its registers
SPAN = 16  # steps that the backward pass unrolls; longer sequences are split, which is exact


@triton.jit
def _current(y, a, b, current_gate, i, c, tile, channels, AFFINE: tl.constexpr, CURRENT_GATED: tl.constexpr):
    """x_t = current_gate (scale y_t + shift)."""
    x = tl.load(y + i, tile, 0.0).to(tl.float32)
    if AFFINE:
        x = a * x + b
    if CURRENT_GATED:
        x = tl.load(current_gate + c, channels, 0.0) * x
    return x


@triton.jit
def _tile(P, C, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    """Sample, channels, neurons of this program, and which of them there are."""
    n = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)[:, None]
    c = tl.program_id(2).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    return n, c, (n * P + p) * C + c, c < C, (p < P) & (c < C)


@triton.jit
def _forward(
    y, scale, shift, current_gate, spike_gate, v,
    spikes, last, total, rate,
    steps, y_step, N, P, C, neuron,
    AFFINE: tl.constexpr, CURRENT_GATED: tl.constexpr, SPIKE_GATED: tl.constexpr, REST: tl.constexpr,
    FIRES: tl.constexpr, SUMMED: tl.constexpr, RATED: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Writes gated spikes if FIRES, their sum over T if SUMMED, that over the block's positions if RATED."""
    n, c, i, channels, tile = _tile(P, C, BLOCK_P, BLOCK_C)
    a, b = 0.0, 0.0
    if AFFINE:
        a, b = tl.load(scale + c, channels, 0.0), tl.load(shift + c, channels, 0.0)
    if CURRENT_GATED:
        current_gate += n * C
    if SPIKE_GATED:
        spike_gate += n * C
    if RATED:
        rate += (tl.program_id(1).to(tl.int64) * steps * N + n) * C
    m = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    sum_t = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    if not REST:
        m = tl.load(v + i, tile, 0.0)
    for _ in range(steps):
        decayed = neuron.decay * m
        u = decayed + neuron.gain * _current(y, a, b, current_gate, i, c, tile, channels, AFFINE, CURRENT_GATED)
        fired = u > neuron.threshold
        m = tl.where(fired, neuron.keep * u - neuron.drop, u)
        s = tl.where(fired, 1.0, 0.0)
        if RATED:
            tl.store(rate + c, tl.sum(tl.where(tile, s, 0.0), 0)[None, :], channels)
            rate += N * C
        if SPIKE_GATED:
            s *= tl.load(spike_gate + c, channels, 0.0)
            spike_gate += N * C
        if SUMMED:
            sum_t += s
        if FIRES:
            tl.store(spikes + i, s.to(spikes.dtype.element_ty), tile)
            spikes += N * P * C
        y += y_step
        if CURRENT_GATED:
            current_gate += N * C
    if SUMMED:
        tl.store(total + i, sum_t, tile)
    elif not RATED:
        tl.store(last + i, m, tile)


@triton.jit
def _backward(
    y, scale, shift, current_gate, spike_gate, v,
    grad, dv,
    dy, dscale, dshift, dcurrent_gate, dspike_gate,
    y_step, grad_step, N, P, C, neuron,
    DERIVATIVE: tl.constexpr, STEPS: tl.constexpr, AFFINE: tl.constexpr, CURRENT_GATED: tl.constexpr,
    SPIKE_GATED: tl.constexpr, ONES: tl.constexpr, STATIC: tl.constexpr, ADD: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """ONES: grad is one everywhere, so the spike gate is all of dL/ds. ADD: dy is added to. STATIC: y has one step."""
    n, c, i, channels, tile = _tile(P, C, BLOCK_P, BLOCK_C)
    block = tl.program_id(1).to(tl.int64)
    a, b = 0.0, 0.0
    if AFFINE:
        a, b = tl.load(scale + c, channels, 0.0), tl.load(shift + c, channels, 0.0)
    if CURRENT_GATED:
        current_gate += n * C
        dcurrent_gate += (block * STEPS * N + n) * C
    if SPIKE_GATED:
        spike_gate += n * C
        dspike_gate += (block * STEPS * N + n) * C
    m = tl.load(v + i, tile, 0.0)
    membranes = ()
    for t in tl.static_range(STEPS):
        gate_t = current_gate + t * N * C if CURRENT_GATED else current_gate
        x = _current(y + t * y_step, a, b, gate_t, i, c, tile, channels, AFFINE, CURRENT_GATED)
        u = neuron.decay * m + neuron.gain * x
        m = tl.where(u > neuron.threshold, neuron.keep * u - neuron.drop, u)
        membranes = membranes + (u,)  # type: ignore[assignment]  # noqa: RUF005
    d = tl.load(dv + i, tile, 0.0)
    zero = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    sum_y, sum_scale, sum_shift = zero, zero, zero
    for t in tl.static_range(STEPS - 1, -1, -1):
        u = membranes[t]
        if ONES:
            g = zero + tl.load(spike_gate + t * N * C + c, channels, 0.0)
        else:
            g = tl.load(grad + t * grad_step + i, tile, 0.0).to(tl.float32)
            if SPIKE_GATED:
                product = tl.where(tile & (u > neuron.threshold), g, 0.0)
                tl.store(dspike_gate + t * N * C + c, tl.sum(product, 0)[None, :], channels)
                g *= tl.load(spike_gate + t * N * C + c, channels, 0.0)
        ds = g - neuron.through * d * (u - (neuron.keep * u - neuron.drop))
        slope = DERIVATIVE(tl.abs(u - neuron.centre), neuron.a, neuron.b)
        du = ds * slope + tl.where(u > neuron.threshold, neuron.keep * d, d)
        d = neuron.decay * du
        dx = neuron.gain * du
        if CURRENT_GATED:
            y_t = tl.load(y + t * y_step + i, tile, 0.0).to(tl.float32)
            product = tl.where(tile, dx * (a * y_t + b), 0.0)
            tl.store(dcurrent_gate + t * N * C + c, tl.sum(product, 0)[None, :], channels)
            dx *= tl.load(current_gate + t * N * C + c, channels, 0.0)
        if AFFINE:
            y_t = tl.load(y + t * y_step + i, tile, 0.0).to(tl.float32)
            sum_scale += dx * y_t
            sum_shift += dx
            dx = a * dx
        if STATIC:
            sum_y += dx
        else:
            out = dy + t * N * P * C + i
            if ADD:
                dx += tl.load(out, tile, 0.0).to(tl.float32)
            tl.store(out, dx.to(dy.dtype.element_ty), tile)
    if STATIC:
        tl.store(dy + i, tl.load(dy + i, tile, 0.0) + sum_y, tile)
    if AFFINE:
        row = (block * N + n) * C
        tl.store(dscale + row + c, tl.sum(tl.where(tile, sum_scale, 0.0), 0)[None, :], channels)
        tl.store(dshift + row + c, tl.sum(tl.where(tile, sum_shift, 0.0), 0)[None, :], channels)
    tl.store(dv + i, d, tile)


@cache
def _derivative(rule: Rule) -> Any:
    return rule.derivative if isinstance(_tile, InterpretedFunction) else triton.jit(rule.derivative)


class _Call:
    """The tensors of one call in the form that the kernels take, and how its work is divided."""

    def __init__(self, inputs: Inputs, constants: Sequence[float]) -> None:
        y, scale, shift, current_gate, spike_gate, v = inputs
        self.channels = scale is not None
        self.permutation = layout.order(y, self.channels)
        self.y = layout.rows(y, self.permutation, self.channels)
        _, n, length = self.y.shape
        c = length if scale is None else scale.numel()
        self.sizes = n, length // max(c, 1), c
        self.scale, self.shift, self.current_gate, self.spike_gate = (
            None if x is None else x.float().contiguous() for x in (scale, shift, current_gate, spike_gate)
        )
        self.v = None if v is None else self.state(v)
        self.neuron = Constants(*constants)
        self.block_c = min(triton.next_power_of_2(c), TILE)
        self.block_p = TILE // self.block_c
        self.blocks = triton.cdiv(self.sizes[1], self.block_p)
        self.grid = n, self.blocks, triton.cdiv(c, self.block_c)
        self.options = {
            "AFFINE": self.channels,
            "CURRENT_GATED": current_gate is not None,
            "BLOCK_P": self.block_p,
            "BLOCK_C": self.block_c,
            "enable_fp_fusion": False,
        }

    def rows(self, x: Tensor) -> Tensor:
        """An output [T, ...] as the kernels write it, sharing its memory."""
        return x.permute(self.permutation).view(x.shape[0], *self.y.shape[1:])

    def state(self, v: Tensor) -> Tensor:
        """A membrane or its gradient [...] as the kernels read it."""
        return layout.dense(v.float().unsqueeze(0), self.permutation).reshape(self.y.shape[1:])

    def forward(
        self,
        first: int,
        steps: int,
        v: Tensor | None,
        *,
        spikes: Tensor | None = None,
        last: Tensor | None = None,
        total: Tensor | None = None,
        rate: Tensor | None = None,
    ) -> None:
        """Steps first .. first + steps - 1 from the membrane v; writes the outputs that are not None."""
        y, y_step = _at(self.y, first)
        gated = self.spike_gate is not None and (spikes is not None or total is not None)
        gates = _from(self.current_gate, first), _from(self.spike_gate, first) if gated else None
        _forward[self.grid](
            y, self.scale, self.shift, *gates, v, spikes, last, total, rate, steps, y_step, *self.sizes, self.neuron,
            SPIKE_GATED=gated, REST=v is None, FIRES=spikes is not None, SUMMED=total is not None,
            RATED=rate is not None, **self.options,
        )  # fmt: skip

    def partial(self, steps: int, present: bool) -> Tensor:
        """A sum over space in one part for each block [blocks, T, N, C]; empty if it is not wanted."""
        n, _, c = self.sizes
        return self.y.new_empty((self.blocks, steps, n, c if present else 0), dtype=torch.float32)


def _at(x: Tensor, t: int) -> tuple[Tensor, int]:
    """x from step t on and the distance of its steps; one step for all has distance 0."""
    return (x, 0) if len(x) == 1 else (x[t:], x.stride(0))


def _from(gate: Tensor | None, t: int) -> Tensor | None:
    return None if gate is None else gate[t:]


@on_its_device
def fire(inputs: Inputs, steps: int, constants: Sequence[float]) -> tuple[Tensor, Tensor]:
    """As cpu.fire."""
    call, y = _Call(inputs, constants), inputs.y
    spikes = layout.new(y, call.permutation, steps)
    last = layout.new(y, call.permutation, 1, dtype=torch.float32)
    if y.numel():
        call.forward(0, steps, call.v, spikes=call.rows(spikes), last=call.rows(last)[0])
    return spikes, last[0]


@on_its_device
def spike_sum(inputs: Inputs, steps: int, constants: Sequence[float]) -> Tensor:
    """As cpu.spike_sum."""
    call, y = _Call(inputs, constants), inputs.y
    summed = layout.new(y, call.permutation, 1, dtype=torch.float32)
    if y.numel():
        call.forward(0, steps, None, total=call.rows(summed)[0])
    return summed[0]


@on_its_device
def spike_rate(inputs: Inputs, steps: int, constants: Sequence[float]) -> Tensor:
    """As cpu.spike_rate."""
    call = _Call(inputs, constants)
    partial = call.partial(steps, True)
    if inputs.y.numel():
        call.forward(0, steps, None, rate=partial)
    return partial.sum(0) / call.sizes[1]


@on_its_device
def backward(
    grad: Tensor | None,
    grad_last: Tensor | None,
    inputs: Inputs,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
    dy: Tensor | None = None,
) -> Gradients:
    """As cpu.backward."""
    call, y = _Call(inputs, constants), inputs.y
    static, add = y.shape[0] == 1 and steps > 1, dy is not None
    if dy is None:
        dy = layout.new(y, call.permutation, y.shape[0])
        if static:
            dy.zero_()
    out = dy.float() if static else dy  # a static input: summed over the spans, rounded once
    upstream = None if grad is None else layout.rows(grad.expand(steps, *y.shape[1:]), call.permutation, call.channels)
    dv = layout.new(y, call.permutation, 1, dtype=torch.float32)
    d = call.rows(dv)[0]
    if grad_last is None:
        d.zero_()
    else:
        d.copy_(call.state(grad_last))
    n, _, c = call.sizes
    channels = c if call.channels else 0
    sums = y.new_zeros((2, channels), dtype=torch.float32)
    dcurrent_gate, dspike_gate = (
        y.new_empty((0, 0, 0) if x is None else x.shape, dtype=torch.float32)
        for x in (inputs.current_gate, inputs.spike_gate)
    )
    firsts = range(0, steps, SPAN)
    states = _states(call, firsts)
    for first, state in zip(reversed(firsts), reversed(states), strict=True):
        span = min(SPAN, steps - first)
        tables = y.new_empty((2, call.blocks, n, channels), dtype=torch.float32)
        current_gates = call.partial(span, call.current_gate is not None)
        spike_gates = call.partial(span, call.spike_gate is not None and grad is not None)
        (y_t, y_step), (grad_t, grad_step) = _at(call.y, first), (None, 0) if upstream is None else _at(upstream, first)
        _backward[call.grid](
            y_t, call.scale, call.shift, _from(call.current_gate, first), _from(call.spike_gate, first), state,
            grad_t, d, call.rows(out) if static else call.rows(out)[first:], *tables, current_gates, spike_gates,
            y_step, grad_step, *call.sizes, call.neuron,
            DERIVATIVE=_derivative(SURROGATES[surrogate]), STEPS=span, SPIKE_GATED=call.spike_gate is not None,
            ONES=grad is None, STATIC=static, ADD=add, **call.options,
        )  # fmt: skip
        sums += tables.sum((1, 2))
        for whole, parts in ((dcurrent_gate, current_gates), (dspike_gate, spike_gates)):
            if parts.numel():
                whole[first : first + span] = parts.sum(0)
    dv = y.new_empty(0) if inputs.v is None else dv[0]
    return Gradients(dy.copy_(out), sums[0].clone(), sums[1].clone(), dcurrent_gate, dspike_gate, dv)


def _states(call: _Call, firsts: range) -> list[Tensor]:
    """The membranes before each span of steps."""
    states = [torch.zeros(call.y.shape[1:], device=call.y.device) if call.v is None else call.v]
    for first in firsts[:-1]:
        last = torch.empty_like(states[0])
        call.forward(first, SPAN, states[-1], last=last)
        states.append(last)
    return states
