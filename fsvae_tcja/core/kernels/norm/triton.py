"""The tables of a norm on the GPU, in Triton: one launch where PyTorch takes five."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..common.device import on_its_device
from .reference import Tables

BLOCK = 128


@triton.jit
def _affine(weight, bias, mean, var, scale, shift, g, r, factor, eps, C, BLOCK: tl.constexpr):
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = c < C
    root = tl.div_rn(1.0, tl.sqrt_rn(tl.load(var + c, there, 1.0) + eps))
    gain = tl.load(weight + c, there, 0.0) * factor
    slope = gain * root
    tl.store(scale + c, slope, there)
    tl.store(shift + c, tl.load(bias + c, there, 0.0) - slope * tl.load(mean + c, there, 0.0), there)
    tl.store(g + c, gain, there)
    tl.store(r + c, root, there)


@triton.jit
def _gradients(dscale, dshift, mean, scale, g, r, dweight, dmean, dvar, factor, C, BLOCK: tl.constexpr):
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = c < C
    root, of_shift = tl.load(r + c, there, 0.0), tl.load(dshift + c, there, 0.0)
    of_scale = tl.load(dscale + c, there, 0.0) - of_shift * tl.load(mean + c, there, 0.0)
    tl.store(dweight + c, of_scale * root * factor, there)
    tl.store(dmean + c, -of_shift * tl.load(scale + c, there, 0.0), there)
    tl.store(dvar + c, -0.5 * (of_scale * tl.load(g + c, there, 0.0)) * (root * root * root), there)


@triton.jit
def _track(
    running_mean, running_var, batches, mean, var, where, unbiased, momentum, C,
    CUMULATIVE: tl.constexpr, ALWAYS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program, for it counts the batch."""
    seen = tl.load(batches)
    count = seen + 1
    if CUMULATIVE:
        momentum = tl.div_rn(1.0, count.to(tl.float32))
    if not ALWAYS:
        counts = tl.load(where).to(tl.int32) != 0
        momentum = tl.where(counts, momentum, 0.0)
        count = tl.where(counts, count, seen)
    for first in range(0, C, BLOCK):
        c = first + tl.arange(0, BLOCK)
        there = c < C
        m, v = tl.load(running_mean + c, there, 0.0), tl.load(running_var + c, there, 0.0)
        tl.store(running_mean + c, m + momentum * (tl.load(mean + c, there, 0.0) - m), there)
        tl.store(running_var + c, v + momentum * (tl.load(var + c, there, 0.0) * unbiased - v), there)
    tl.debug_barrier()  # every thread has read the count
    tl.store(batches, count)


def _tables(like: Tensor, n: int) -> tuple[Tensor, ...]:
    return torch.empty(n, like.numel(), device=like.device).unbind()


def _grid(table: Tensor) -> tuple[int]:
    return (triton.cdiv(table.numel(), BLOCK),)


@on_its_device
def affine(weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, factor: float, eps: float) -> Tables:
    """As reference.affine, float32."""
    tables = Tables(*_tables(mean, 4))
    _affine[_grid(mean)](
        weight.detach(), bias.detach(), mean, var, *tables, factor, eps, mean.numel(), BLOCK=BLOCK,
        enable_fp_fusion=False,
    )  # fmt: skip
    return tables


@on_its_device
def gradients(
    dscale: Tensor, dshift: Tensor, mean: Tensor, tables: Tables, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.gradients, float32."""
    found = dweight, dmean, dvar = _tables(mean, 3)
    scale, _, g, r = tables
    _gradients[_grid(mean)](
        dscale.contiguous(), dshift.contiguous(), mean, scale, g, r, *found, factor, mean.numel(), BLOCK=BLOCK,
        enable_fp_fusion=False,
    )  # fmt: skip
    return dweight, dmean, dvar


@on_its_device
def track(
    running_mean: Tensor, running_var: Tensor, batches: Tensor, mean: Tensor, var: Tensor, count: int,
    momentum: float | None, where: Tensor | None = None,
) -> None:  # fmt: skip
    """As reference.track, without a wait for the count or for `where`."""
    _track[(1,)](
        running_mean, running_var, batches, mean, var, where, count / (count - 1), momentum or 0.0, mean.numel(),
        CUMULATIVE=momentum is None, ALWAYS=where is None, BLOCK=1024, enable_fp_fusion=False,
    )  # fmt: skip
