"""Moments of a channels-last input on the GPU, in Triton: y is read once forward, once backward."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..common.device import on_its_device
from ..common.layout import by_position

TILE = 4096  # values of a program


@triton.jit
def _forward(y, mean, squares, P, C, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    """Mean over a block of positions and sum of squared distances to it, both from registers."""
    n, block = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    p = block * BLOCK_P + tl.arange(0, BLOCK_P)[:, None]
    c = tl.program_id(2).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    tile = (p < P) & (c < C)
    values = tl.load(y + (n * P + p) * C + c, tile, 0.0).to(tl.float32)
    count = tl.minimum(P - block * BLOCK_P, BLOCK_P).to(tl.float32)
    centre = (tl.sum(values, 0) / count)[None, :]
    distance = tl.where(tile, values - centre, 0.0)
    out = (n * tl.num_programs(1) + block) * C + c
    tl.store(mean + out, centre, c < C)
    tl.store(squares + out, tl.sum(distance * distance, 0)[None, :], c < C)


@triton.jit
def _backward(grad, y, offset, slope, P, C, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    """grad += offset[s, c] + slope[c] y, in place."""
    n = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)[:, None]
    c = tl.program_id(2).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    tile, i = (p < P) & (c < C), (n * P + p) * C + c
    line = tl.load(slope + c, c < C, 0.0) * tl.load(y + i, tile, 0.0).to(tl.float32)
    total = tl.load(grad + i, tile, 0.0).to(tl.float32) + tl.load(offset + n * C + c, c < C, 0.0) + line
    tl.store(grad + i, total.to(grad.dtype.element_ty), tile)


def _blocks(samples: int, positions: int, channels: int) -> tuple[tuple[int, int, int], dict[str, int]]:
    c = min(triton.next_power_of_2(channels), 128)
    p = min(TILE // c, triton.next_power_of_2(positions))
    return (samples, triton.cdiv(positions, p), triton.cdiv(channels, c)), {"BLOCK_P": p, "BLOCK_C": c}


@on_its_device
def forward(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.moments: the variance is that within the blocks plus that of their means."""
    values = by_position(y)
    samples, positions, channels = values.shape
    grid, options = _blocks(samples, positions, channels)
    mean, squares = y.new_empty((2, samples, grid[1], channels), dtype=torch.float32)
    _forward[grid](values.contiguous(), mean, squares, positions, channels, **options)
    starts = torch.arange(grid[1], device=y.device) * options["BLOCK_P"]
    counts = (positions - starts).clamp(max=options["BLOCK_P"]).double()[:, None]
    wide = mean.double()
    space = (wide * counts).sum(1) / positions
    batch_mean = space.mean(0)
    between = ((wide - batch_mean).square() * counts).sum((0, 1))
    variance = (squares.sum((0, 1), dtype=torch.float64) + between) / (samples * positions)
    return space.float(), batch_mean.float(), variance.float()


@on_its_device
def backward(grad: Tensor, d_space: Tensor, d_mean: Tensor, d_variance: Tensor, y: Tensor, mean: Tensor) -> None:
    """Adds the gradient of y through its moments to `grad`, channels-last, in place."""
    values = by_position(y).contiguous()
    samples, positions, channels = values.shape
    slope = 2 * d_variance / (samples * positions)
    offset = d_space / positions + (d_mean / (samples * positions) - slope * mean)
    grid, options = _blocks(samples, positions, channels)
    _backward[grid](by_position(grad).view(values.shape), values, offset, slope, positions, channels, **options)
