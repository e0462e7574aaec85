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

float32 but for what is stored like y. Programs lie along one axis, for the others end at 65,535; distances are 64 bits.
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
CHANNELS = 32  # of a tile with positions to sum over: an eighth of the layer in partial sums, one cache line
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
    """Sample, block of positions, channels, neurons of this program, and which of them there are."""
    over_p, over_c = tl.cdiv(P, BLOCK_P), tl.cdiv(C, BLOCK_C)
    program = tl.program_id(0)
    n, block = (program // over_c // over_p).to(tl.int64), (program // over_c % over_p).to(tl.int64)
    p = block * BLOCK_P + tl.arange(0, BLOCK_P)[:, None]
    c = (program % over_c).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    return n, block, c, (n * P + p) * C + c, c < C, (p < P) & (c < C)


@triton.jit(do_not_specialize=["N"])
def _forward(
    y, scale, shift, current_gate, spike_gate, v,
    spikes, last, total, rate,
    steps, y_step, N, P, C, neuron,
    AFFINE: tl.constexpr, CURRENT_GATED: tl.constexpr, SPIKE_GATED: tl.constexpr, REST: tl.constexpr,
    FIRES: tl.constexpr, SUMMED: tl.constexpr, RATED: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Writes gated spikes if FIRES, their sum over T if SUMMED, that over the block's positions if RATED."""
    n, block, c, i, channels, tile = _tile(P, C, BLOCK_P, BLOCK_C)
    gates, neurons = tl.cast(N, tl.int64) * C, tl.cast(N, tl.int64) * P * C  # of a step
    y_step = tl.cast(y_step, tl.int64)
    a, b = 0.0, 0.0
    if AFFINE:
        a, b = tl.load(scale + c, channels, 0.0), tl.load(shift + c, channels, 0.0)
    if CURRENT_GATED:
        current_gate += n * C
    if SPIKE_GATED:
        spike_gate += n * C
    if RATED:
        rate += block * steps * gates + n * C
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
            rate += gates
        if SPIKE_GATED:
            s *= tl.load(spike_gate + c, channels, 0.0)
            spike_gate += gates
        if SUMMED:
            sum_t += s
        if FIRES:
            tl.store(spikes + i, s.to(spikes.dtype.element_ty), tile)
            spikes += neurons
        y += y_step
        if CURRENT_GATED:
            current_gate += gates
    if SUMMED:
        tl.store(total + i, sum_t, tile)
    elif not RATED:
        tl.store(last + i, m, tile)


@triton.jit(do_not_specialize=["N"])
def _backward(
    y, scale, shift, current_gate, spike_gate, v,
    grad, dv,
    dy, dscale, dshift, dcurrent_gate, dspike_gate,
    y_step, grad_step, N, P, C, neuron,
    DERIVATIVE: tl.constexpr, STEPS: tl.constexpr, AFFINE: tl.constexpr, CURRENT_GATED: tl.constexpr,
    SPIKE_GATED: tl.constexpr, REST: tl.constexpr, FOLLOWED: tl.constexpr, PRECEDED: tl.constexpr,
    ONES: tl.constexpr, STATIC: tl.constexpr, ADD: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """ONES: grad is one everywhere, so the spike gate is all of dL/ds. ADD: dy is added to. STATIC: y has one step.
    FOLLOWED: dv holds the gradient of the last membrane. PRECEDED: that of the first one is left there."""
    n, block, c, i, channels, tile = _tile(P, C, BLOCK_P, BLOCK_C)
    gates, neurons = tl.cast(N, tl.int64) * C, tl.cast(N, tl.int64) * P * C  # of a step
    y_step, grad_step = tl.cast(y_step, tl.int64), tl.cast(grad_step, tl.int64)
    a, b = 0.0, 0.0
    if AFFINE:
        a, b = tl.load(scale + c, channels, 0.0), tl.load(shift + c, channels, 0.0)
    if CURRENT_GATED:
        current_gate += n * C
        dcurrent_gate += block * STEPS * gates + n * C
    if SPIKE_GATED:
        spike_gate += n * C
        if not ONES:
            dspike_gate += block * STEPS * gates + n * C
    zero = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    m = zero
    if not REST:
        m = tl.load(v + i, tile, 0.0)
    membranes = ()
    for t in tl.static_range(STEPS):
        gate_t = current_gate + t * gates if CURRENT_GATED else current_gate
        x = _current(y + t * y_step, a, b, gate_t, i, c, tile, channels, AFFINE, CURRENT_GATED)
        u = neuron.decay * m + neuron.gain * x
        m = tl.where(u > neuron.threshold, neuron.keep * u - neuron.drop, u)
        membranes = membranes + (u,)  # type: ignore[assignment]  # noqa: RUF005
    d = zero
    if FOLLOWED:
        d = tl.load(dv + i, tile, 0.0)
    sum_y, sum_scale, sum_shift = zero, zero, zero
    for t in tl.static_range(STEPS - 1, -1, -1):
        u = membranes[t]
        if ONES:
            g = zero + tl.load(spike_gate + t * gates + c, channels, 0.0)
        else:
            g = tl.load(grad + t * grad_step + i, tile, 0.0).to(tl.float32)
            if SPIKE_GATED:
                product = tl.where(tile & (u > neuron.threshold), g, 0.0)
                tl.store(dspike_gate + t * gates + c, tl.sum(product, 0)[None, :], channels)
                g *= tl.load(spike_gate + t * gates + c, channels, 0.0)
        ds = g - neuron.through * d * (u - (neuron.keep * u - neuron.drop))
        slope = DERIVATIVE(tl.abs(u - neuron.centre), neuron.a, neuron.b)
        du = ds * slope + tl.where(u > neuron.threshold, neuron.keep * d, d)
        d = neuron.decay * du
        dx = neuron.gain * du
        if CURRENT_GATED:
            y_t = tl.load(y + t * y_step + i, tile, 0.0).to(tl.float32)
            product = tl.where(tile, dx * (a * y_t + b), 0.0)
            tl.store(dcurrent_gate + t * gates + c, tl.sum(product, 0)[None, :], channels)
            dx *= tl.load(current_gate + t * gates + c, channels, 0.0)
        if AFFINE:
            y_t = tl.load(y + t * y_step + i, tile, 0.0).to(tl.float32)
            sum_scale += dx * y_t
            sum_shift += dx
            dx = a * dx
        if STATIC:
            sum_y += dx
        else:
            out = dy + t * neurons + i
            if ADD:
                dx += tl.load(out, tile, 0.0).to(tl.float32)
            tl.store(out, dx.to(dy.dtype.element_ty), tile)
    if STATIC:
        if ADD:
            sum_y += tl.load(dy + i, tile, 0.0)
        tl.store(dy + i, sum_y, tile)
    if AFFINE:
        row = (block * N + n) * C
        tl.store(dscale + row + c, tl.sum(tl.where(tile, sum_scale, 0.0), 0)[None, :], channels)
        tl.store(dshift + row + c, tl.sum(tl.where(tile, sum_shift, 0.0), 0)[None, :], channels)
    if PRECEDED:
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
        p, c = (triton.next_power_of_2(size) for size in self.sizes[1:])
        self.block_p = min(p, TILE // min(c, CHANNELS))
        self.block_c = min(c, TILE // self.block_p)
        self.blocks = triton.cdiv(self.sizes[1], self.block_p)
        self.grid = (n * self.blocks * triton.cdiv(self.sizes[2], self.block_c),)
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

    def partial(self, *shape: int) -> Tensor:
        """A sum over positions in one part for each block [blocks, shape, C]."""
        return self.y.new_empty((self.blocks, *shape, self.sizes[2]), dtype=torch.float32)


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
    partial = call.partial(steps, call.sizes[0])
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
    static, add, ones = y.shape[0] == 1 and steps > 1, dy is not None, grad is None
    if dy is None:
        dy = layout.new(y, call.permutation, y.shape[0])
    out = dy.float() if static else dy  # a static input: summed over the spans, rounded once
    upstream = None
    if grad is not None:
        upstream = layout.rows(grad.expand(steps, *y.shape[1:]), call.permutation, call.channels)
    n, firsts, dv, d = call.sizes[0], range(0, steps, SPAN), y.new_empty(0), None
    if grad_last is not None or call.v is not None or len(firsts) > 1:
        dv = layout.new(y, call.permutation, 1, dtype=torch.float32)[0]
        d = call.rows(dv[None])[0]
    if d is not None and grad_last is not None:
        d.copy_(call.state(grad_last))
    wanted = call.channels, call.channels, call.current_gate is not None, call.spike_gate is not None and not ones
    sums: list[list[Tensor]] = [[], [], [], []]  # dscale, dshift, dcurrent_gate, dspike_gate of each span
    states = _states(call, firsts)
    for first, state in zip(reversed(firsts), reversed(states), strict=True):
        span, last = min(SPAN, steps - first), first == firsts[-1]
        shapes = (n,), (n,), (span, n), (span, n)
        parts = [call.partial(*shape) if one else None for shape, one in zip(shapes, wanted, strict=True)]
        (y_t, y_step), (grad_t, grad_step) = _at(call.y, first), (None, 0) if upstream is None else _at(upstream, first)
        _backward[call.grid](
            y_t, call.scale, call.shift, _from(call.current_gate, first), _from(call.spike_gate, first), state,
            grad_t, d, call.rows(out) if static else call.rows(out)[first:], *parts,
            y_step, grad_step, *call.sizes, call.neuron,
            DERIVATIVE=_derivative(SURROGATES[surrogate]), STEPS=span, SPIKE_GATED=call.spike_gate is not None,
            REST=state is None, FOLLOWED=grad_last is not None or not last, PRECEDED=call.v is not None or first > 0,
            ONES=ones, STATIC=static, ADD=add or (static and not last), **call.options,
        )  # fmt: skip
        for found, part in zip(sums, parts, strict=True):
            if part is not None:
                found.insert(0, part.sum((0, 1)) if part.dim() == 3 else part.sum(0))
    dscale, dshift = (torch.stack(t).sum(0) if len(t) > 1 else t[0] if t else y.new_empty(0) for t in sums[:2])
    dcurrent_gate, dspike_gate = (
        torch.cat(t) if len(t) > 1 else t[0] if t else y.new_empty((0, 0, 0)) for t in sums[2:]
    )
    dv = y.new_empty(0) if inputs.v is None else dv
    return Gradients(dy.copy_(out), dscale, dshift, dcurrent_gate, dspike_gate, dv)


def _states(call: _Call, firsts: range) -> list[Tensor | None]:
    """The membranes before each span of steps; None: rest."""
    states = [call.v]
    for first in firsts[:-1]:
        last = torch.empty(call.y.shape[1:], device=call.y.device)
        call.forward(first, SPAN, states[-1], last=last)
        states.append(last)
    return states
