"""LIF on the GPU, forward and backward, in Triton. Derivation: README.md of this folder.

A program carries a tile of P positions x C channels of one sample through the steps, membranes in registers. Without
per-channel input all neurons count as channels of one position.
"""

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ...surrogate import SURROGATES
from ..device import on_its_device
from ..neuron import Constants
from . import layout

TILE = 256  # neurons: 2 a thread, whose membranes of SPAN steps fit its registers
SPAN = 16  # steps that the backward pass unrolls; longer sequences are split, which is exact


@triton.jit
def _current(y, a, b, gate, i, c, tile, channels, AFFINE: tl.constexpr, GATED: tl.constexpr):
    """x_t = gate (scale y_t + shift)."""
    x = tl.load(y + i, tile, 0.0).to(tl.float32)
    if AFFINE:
        x = a * x + b
    if GATED:
        x = tl.load(gate + c, channels, 0.0) * x
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
    y, scale, shift, gate, weight, v, spikes, last, total, rate, steps, y_step, N, P, C, k,
    AFFINE: tl.constexpr, GATED: tl.constexpr, WEIGHTED: tl.constexpr, REST: tl.constexpr, SILENT: tl.constexpr,
    SUMMED: tl.constexpr, RATED: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Weighted spikes unless SILENT, their sum over T if SUMMED, that over the block's positions if RATED."""
    n, c, i, channels, tile = _tile(P, C, BLOCK_P, BLOCK_C)
    a, b = 0.0, 0.0
    if AFFINE:
        a, b = tl.load(scale + c, channels, 0.0), tl.load(shift + c, channels, 0.0)
    if GATED:
        gate += n * C
    if WEIGHTED:
        weight += n * C
    if RATED:
        rate += (tl.program_id(1).to(tl.int64) * steps * N + n) * C
    m = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    sum_t = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    if not REST:
        m = tl.load(v + i, tile, 0.0)
    for _ in range(steps):
        u = k.decay * m + k.gain * _current(y, a, b, gate, i, c, tile, channels, AFFINE, GATED)
        fired = u > k.threshold
        m = tl.where(fired, k.keep * u - k.drop, u)
        s = tl.where(fired, 1.0, 0.0)
        if RATED:
            tl.store(rate + c, tl.sum(tl.where(tile, s, 0.0), 0)[None, :], channels)
            rate += N * C
        if WEIGHTED:
            s *= tl.load(weight + c, channels, 0.0)
            weight += N * C
        if SUMMED:
            sum_t += s
        if not SILENT:
            tl.store(spikes + i, s.to(spikes.dtype.element_ty), tile)
            spikes += N * P * C
        y += y_step
        if GATED:
            gate += N * C
    if SUMMED:
        tl.store(total + i, sum_t, tile)
    elif not RATED:
        tl.store(last + i, m, tile)


@triton.jit
def _backward(
    y, scale, shift, gate, weight, v, grad, dv, dy, dscale, dshift, dgate, dweight, y_step, grad_step, N, P, C, k,
    DERIVATIVE: tl.constexpr, STEPS: tl.constexpr, AFFINE: tl.constexpr, GATED: tl.constexpr, WEIGHTED: tl.constexpr,
    ONES: tl.constexpr, STATIC: tl.constexpr, ADD: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """dv holds dL/dv after the last step and is left with dL/dv before the first. ONES: the weight is all of dL/ds."""
    n, c, i, channels, tile = _tile(P, C, BLOCK_P, BLOCK_C)
    block = tl.program_id(1).to(tl.int64)
    a, b = 0.0, 0.0
    if AFFINE:
        a, b = tl.load(scale + c, channels, 0.0), tl.load(shift + c, channels, 0.0)
    if GATED:
        gate += n * C
        dgate += (block * STEPS * N + n) * C
    if WEIGHTED:
        weight += n * C
        dweight += (block * STEPS * N + n) * C
    m = tl.load(v + i, tile, 0.0)
    membranes = ()
    for t in tl.static_range(STEPS):
        gate_t = gate + t * N * C if GATED else gate
        x = _current(y + t * y_step, a, b, gate_t, i, c, tile, channels, AFFINE, GATED)
        u = k.decay * m + k.gain * x
        m = tl.where(u > k.threshold, k.keep * u - k.drop, u)
        membranes = membranes + (u,)  # noqa: RUF005
    d = tl.load(dv + i, tile, 0.0)
    zero = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    sum_y, sum_scale, sum_shift = zero, zero, zero
    for t in tl.static_range(STEPS - 1, -1, -1):
        u = membranes[t]
        if ONES:
            g = zero + tl.load(weight + t * N * C + c, channels, 0.0)
        else:
            g = tl.load(grad + t * grad_step + i, tile, 0.0).to(tl.float32)
            if WEIGHTED:
                product = tl.where(tile & (u > k.threshold), g, 0.0)
                tl.store(dweight + t * N * C + c, tl.sum(product, 0)[None, :], channels)
                g *= tl.load(weight + t * N * C + c, channels, 0.0)
        ds = g - k.through * d * (u - (k.keep * u - k.drop))
        du = ds * DERIVATIVE(tl.abs(u - k.centre), k.a, k.b) + tl.where(u > k.threshold, k.keep * d, d)
        d = k.decay * du
        dx = k.gain * du
        if GATED:
            y_t = tl.load(y + t * y_step + i, tile, 0.0).to(tl.float32)
            product = tl.where(tile, dx * (a * y_t + b), 0.0)
            tl.store(dgate + t * N * C + c, tl.sum(product, 0)[None, :], channels)
            dx *= tl.load(gate + t * N * C + c, channels, 0.0)
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
def _derivative(surrogate: str):
    derivative = SURROGATES[surrogate].derivative
    return derivative if isinstance(_tile, InterpretedFunction) else triton.jit(derivative)


class _Walk:
    """The tensors of one call as the kernels take them: [T, N, P, C], channel innermost."""

    def __init__(self, y, scale, shift, gate, weight, v, constants) -> None:
        self.channels = scale is not None
        self.permutation = layout.order(y, self.channels)
        self.y = layout.walk(y, self.permutation, self.channels)
        _, n, length = self.y.shape
        c = scale.numel() if self.channels else length
        self.sizes = n, length // max(c, 1), c
        self.scale, self.shift, self.gate, self.weight = (
            None if x is None else x.float().contiguous() for x in (scale, shift, gate, weight)
        )
        self.v = None if v is None else self.state(v)
        self.k = Constants(*constants)
        self.block_c = min(triton.next_power_of_2(c), TILE)
        self.block_p = TILE // self.block_c
        self.blocks = triton.cdiv(self.sizes[1], self.block_p)
        self.grid = n, self.blocks, triton.cdiv(c, self.block_c)
        self.options = {
            "AFFINE": self.channels,
            "GATED": gate is not None,
            "BLOCK_P": self.block_p,
            "BLOCK_C": self.block_c,
            "enable_fp_fusion": False,
        }

    def rows(self, x: Tensor) -> Tensor:
        """An output [T, ...] as the kernels write it, sharing its memory."""
        return x.permute(self.permutation).view(x.shape[0], *self.y.shape[1:])

    def state(self, v: Tensor) -> Tensor:
        return layout.dense(v.float().unsqueeze(0), self.permutation).reshape(self.y.shape[1:])

    def advance(
        self, first: int, steps: int, v: Tensor | None, *, spikes=None, last=None, total=None, rate=None
    ) -> None:
        """Steps first .. first + steps - 1 from the membrane v; writes the outputs that are not None."""
        y, y_step = _at(self.y, first)
        weighted = self.weight is not None and (spikes is not None or total is not None)
        weight = self.weight[first:] if weighted else None
        _forward[self.grid](
            y, self.scale, self.shift, None if self.gate is None else self.gate[first:], weight, v,
            spikes, last, total, rate, steps, y_step, *self.sizes, self.k,
            WEIGHTED=weighted, REST=v is None, SILENT=spikes is None, SUMMED=total is not None,
            RATED=rate is not None, **self.options,
        )  # fmt: skip

    def partial(self, steps: int, present: bool) -> Tensor:
        """A sum over space in one part for each block [blocks, T, N, C]; empty if it is not wanted."""
        n, _, c = self.sizes
        return self.y.new_empty((self.blocks, steps, n, c if present else 0), dtype=torch.float32)


def _at(x: Tensor, t: int) -> tuple[Tensor, int]:
    """x from step t on and the distance of its steps; one step for all has distance 0."""
    return (x, 0) if len(x) == 1 else (x[t:], x.stride(0))


@on_its_device
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
    w = _Walk(y, scale, shift, gate, weight, v, constants)
    spikes = layout.new(y, w.permutation, steps)
    last = layout.new(y, w.permutation, 1, dtype=torch.float32)
    if y.numel():
        w.advance(0, steps, w.v, spikes=w.rows(spikes), last=w.rows(last)[0])
    return spikes, last[0]


@on_its_device
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
    w = _Walk(y, scale, shift, gate, weight, None, constants)
    summed = layout.new(y, w.permutation, 1, dtype=torch.float32)
    if y.numel():
        w.advance(0, steps, None, total=w.rows(summed)[0])
    return summed[0]


@on_its_device
def rate(y: Tensor, scale: Tensor, shift: Tensor, steps: int, constants: list[float]) -> Tensor:
    """The mean of the spikes over space [T, N, C], float32."""
    w = _Walk(y, scale, shift, None, None, None, constants)
    partial = w.partial(steps, True)
    if y.numel():
        w.advance(0, steps, None, rate=partial)
    return partial.sum(0) / w.sizes[1]


@on_its_device
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
    """Gradients of y, scale, shift, gate, weight and v; those of absent inputs are empty. As in cpu.py."""
    w = _Walk(y, scale, shift, gate, weight, v, constants)
    static, add = y.shape[0] == 1 and steps > 1, dy is not None
    if dy is None:
        dy = layout.new(y, w.permutation, y.shape[0])
        if static:
            dy.zero_()
    out = dy.float() if static else dy  # a static input: summed over the spans, rounded once
    upstream = None if grad is None else layout.walk(grad.expand(steps, *y.shape[1:]), w.permutation, w.channels)
    dv = layout.new(y, w.permutation, 1, dtype=torch.float32)
    d = w.rows(dv)[0]
    if grad_last is None:
        d.zero_()
    else:
        d.copy_(w.state(grad_last))
    n, _, c = w.sizes
    sums = y.new_zeros((2, c if w.channels else 0), dtype=torch.float32)
    dgate, dweight = (y.new_empty((0, 0, 0) if x is None else x.shape, dtype=torch.float32) for x in (gate, weight))
    firsts = range(0, steps, SPAN)
    states = _states(w, firsts)
    for first, state in zip(reversed(firsts), reversed(states), strict=True):
        span = min(SPAN, steps - first)
        affine = y.new_empty((2, w.blocks, n, c if w.channels else 0), dtype=torch.float32)
        gates, weights = w.partial(span, gate is not None), w.partial(span, weight is not None and grad is not None)
        (y_t, y_step), (grad_t, grad_step) = _at(w.y, first), (None, 0) if grad is None else _at(upstream, first)
        factors = (None if x is None else x[first:] for x in (w.gate, w.weight))
        _backward[w.grid](
            y_t, w.scale, w.shift, *factors, state, grad_t, d, w.rows(out) if static else w.rows(out)[first:],
            *affine, gates, weights, y_step, grad_step, *w.sizes, w.k,
            DERIVATIVE=_derivative(surrogate), STEPS=span, WEIGHTED=weight is not None, ONES=grad is None,
            STATIC=static, ADD=add, **w.options,
        )  # fmt: skip
        sums += affine.sum((1, 2))
        for whole, parts in ((dgate, gates), (dweight, weights)):
            if parts.numel():
                whole[first : first + span] = parts.sum(0)
    dv = y.new_empty(0) if v is None else dv[0]
    return dy.copy_(out), sums[0].clone(), sums[1].clone(), dgate, dweight, dv


def _states(w: _Walk, firsts: range) -> list[Tensor]:
    """The membranes before each span of steps."""
    states = [torch.zeros(w.y.shape[1:], device=w.y.device) if w.v is None else w.v]
    for first in firsts[:-1]:
        last = torch.empty_like(states[0])
        w.advance(first, SPAN, states[-1], last=last)
        states.append(last)
    return states
