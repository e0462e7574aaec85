"""Moments of a channels-last input on the GPU, in Triton: y is read once forward, once backward.

Forward a program takes some samples, one block of positions after the other, and joins mean and squared distances as it
goes (Chan et al. 1979); a second launch joins the programs. Programs lie along one axis: the others end at 65,535.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..common.device import on_its_device
from ..common.layout import by_position

TILE = 4096  # values in registers at a time
CHANNELS = 128  # of a tile
GROUPS = 1024  # of samples, at most: enough programs for a GPU, and few partial sums
JOINED = 8, 128  # channels and groups at a time that a program of the second launch joins


@triton.jit(do_not_specialize=["S"])
def _forward(y, space, mean, squares, S, P, C, each, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    """Samples g each .. (g + 1) each - 1: the mean over space of each; of all mean and squared distances to it."""
    over_c = tl.cdiv(C, BLOCK_C)
    g = (tl.program_id(0) // over_c).to(tl.int64)
    c = (tl.program_id(0) % over_c) * BLOCK_C + tl.arange(0, BLOCK_C)
    channels = c < C
    none = tl.zeros([BLOCK_C], tl.float32)
    centre, distances, count = none, none, 0.0
    for n in range(g * each, tl.minimum(g * each + each, S)):
        total = none
        for first in range(0, P, BLOCK_P):
            p = first + tl.arange(0, BLOCK_P)
            tile = (p < P)[:, None] & channels[None, :]
            values = tl.load(y + (n * P + p)[:, None] * C + c[None, :], tile, 0.0).to(tl.float32)
            here = tl.sum(values, 0)
            total += here
            more = tl.minimum(P - first, BLOCK_P).to(tl.float32)
            here = here / more
            distance = tl.where(tile, values - here[None, :], 0.0)
            step, share = here - centre, more / (count + more)
            distances += tl.sum(distance * distance, 0) + step * step * (count * share)
            centre += step * share
            count += more
        tl.store(space + n * C + c, total / P, channels)
    tl.store(mean + g * C + c, centre, channels)
    tl.store(squares + g * C + c, distances, channels)


@triton.jit
def _join(partial, squares, mean, var, G, S, P, C, each, BLOCK_G: tl.constexpr, BLOCK_C: tl.constexpr):
    """Mean and biased variance of all groups of samples, in float64."""
    c = (tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C))[None, :]
    rows = tl.arange(0, BLOCK_G)[:, None]
    count = tl.cast(S, tl.float64) * P
    total = tl.zeros([BLOCK_G, BLOCK_C], tl.float64)
    for first in range(0, G, BLOCK_G):
        g = first + rows
        there = (g < G) & (c < C)
        values = tl.minimum(S - g * each, each).to(tl.float64) * P
        total += values * tl.load(partial + g * C + c, there, 0.0).to(tl.float64)
    centre = (tl.sum(total, 0) / count)[None, :]
    total = tl.zeros([BLOCK_G, BLOCK_C], tl.float64)
    for first in range(0, G, BLOCK_G):
        g = first + rows
        there = (g < G) & (c < C)
        values = tl.minimum(S - g * each, each).to(tl.float64) * P
        distance = tl.load(partial + g * C + c, there, 0.0).to(tl.float64) - centre
        within = tl.load(squares + g * C + c, there, 0.0).to(tl.float64)
        total += tl.where(there, within + values * distance * distance, 0.0)
    tl.store(mean + c, centre.to(tl.float32), c < C)
    tl.store(var + c, (tl.sum(total, 0)[None, :] / count).to(tl.float32), c < C)


@triton.jit(do_not_specialize=["S"])
def _backward(
    grad, y, d_space, d_mean, d_var, mean, S, P, C,
    SPACE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """grad += dz_s / P + dm / (S P) + dV 2 (y - m) / (S P), in place."""
    over_p, over_c = tl.cdiv(P, BLOCK_P), tl.cdiv(C, BLOCK_C)
    program = tl.program_id(0)
    n = (program // over_c // over_p).to(tl.int64)
    p = (program // over_c % over_p) * BLOCK_P + tl.arange(0, BLOCK_P)[:, None]
    c = (program % over_c) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    tile, i = (p < P) & (c < C), (n * P + p) * C + c
    count = tl.cast(S, tl.float32) * P
    slope = 2 * tl.load(d_var + c, c < C, 0.0) / count
    offset = tl.load(d_mean + c, c < C, 0.0) / count - slope * tl.load(mean + c, c < C, 0.0)
    if SPACE:
        offset += tl.load(d_space + n * C + c, c < C, 0.0) / P
    line = slope * tl.load(y + i, tile, 0.0).to(tl.float32)
    total = tl.load(grad + i, tile, 0.0).to(tl.float32) + offset + line
    tl.store(grad + i, total.to(grad.dtype.element_ty), tile)


def _blocks(positions: int, channels: int) -> dict[str, int]:
    c = min(triton.next_power_of_2(channels), CHANNELS)
    return {"BLOCK_P": min(TILE // c, triton.next_power_of_2(positions)), "BLOCK_C": c}


@on_its_device
def forward(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.moments."""
    values = by_position(y).contiguous()
    samples, positions, channels = values.shape
    blocks = _blocks(positions, channels)
    each = triton.cdiv(samples, GROUPS)
    groups = triton.cdiv(samples, each)
    space = y.new_empty((samples, channels), dtype=torch.float32)
    partial, squares = y.new_empty((2, groups, channels), dtype=torch.float32)
    mean, var = (y.new_empty(channels, dtype=torch.float32) for _ in range(2))
    grid = (groups * triton.cdiv(channels, blocks["BLOCK_C"]),)
    _forward[grid](values, space, partial, squares, samples, positions, channels, each, **blocks)
    c, g = JOINED
    _join[(triton.cdiv(channels, c),)](
        partial, squares, mean, var, groups, samples, positions, channels, each, BLOCK_G=g, BLOCK_C=c
    )
    return space, mean, var


@on_its_device
def backward(grad: Tensor, d_space: Tensor | None, d_mean: Tensor, d_variance: Tensor, y: Tensor, mean: Tensor) -> None:
    """Adds the gradient of y through its moments to `grad`, channels-last, in place."""
    values = by_position(y).contiguous()
    samples, positions, channels = values.shape
    blocks = _blocks(positions, channels)
    grid = (samples * triton.cdiv(positions, blocks["BLOCK_P"]) * triton.cdiv(channels, blocks["BLOCK_C"]),)
    _backward[grid](
        by_position(grad).view(values.shape), values, None if d_space is None else d_space.contiguous(), d_mean,
        d_variance, mean, samples, positions, channels, SPACE=d_space is not None, **blocks,
    )  # fmt: skip
