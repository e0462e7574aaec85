"""The draw on the GPU, in Triton: a program draws an image, all micro-steps of it.

Currents and membranes of the hidden neurons lie in memory, a block of them at a time in registers. Threads may hold
copies of each other's values, so what a program writes is read in the next micro-step only, behind a barrier, and
nothing is written over that is read in the same one: c and v are two tables, that before and that after a micro-step.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...params import Constants
from ..common.device import on_its_device
from .inputs import Inputs

TILE = 4096  # weights in registers at a time


@triton.jit
def _draw(
    noise, scale, shift, W, V, D, c, v, direct, z, u, guidance, M, B, H, neuron,
    K: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """c and v [2, K, N, H]; of both the first [K, N, H] is what is there before the first micro-step."""
    n = tl.program_id(0).to(tl.int64)
    L, size = M * B, tl.num_programs(0).to(tl.int64) * K * H
    j, rows = tl.arange(0, BLOCK_B), tl.arange(0, BLOCK_H)
    bit = j < B
    z_m = tl.zeros([BLOCK_B], tl.float32)
    for m in range(M):
        was, now = m % 2 * size, (m + 1) % 2 * size
        first, second = tl.zeros([BLOCK_B], tl.float32), tl.zeros([BLOCK_B], tl.float32)
        for k in tl.static_range(K):
            image = k * tl.num_programs(0) + n
            total = tl.load(direct + image * L + m * B + j, bit, 0.0)
            for lo in range(0, m * B, BLOCK_H):  # all bits so far
                i = lo + rows
                fired = tl.load(z + n * L + i, i < m * B, 0.0) > 0
                there = fired[:, None] & bit[None, :]
                total += tl.sum(tl.load(D + i.to(tl.int64)[:, None] * L + m * B + j[None, :], there, 0.0), 0)
            for lo in range(0, H, BLOCK_H):
                h = lo + rows
                hidden = h < H
                there = (z_m > 0)[None, :] & hidden[:, None]
                added = tl.sum(tl.load(W + ((m - 1) * B + j)[None, :] * H + h[:, None], there, 0.0), 1)
                current = tl.load(c + was + image * H + h, hidden, 0.0) + added
                tl.store(c + now + image * H + h, current, hidden)
                x = tl.load(scale + h, hidden, 0.0) * current + tl.load(shift + m * H + h, hidden, 0.0)
                membrane = neuron.decay * tl.load(v + was + image * H + h, hidden, 0.0) + neuron.gain * x
                fired = membrane > neuron.threshold
                after = tl.where(fired, neuron.keep * membrane - neuron.drop, membrane)
                tl.store(v + now + image * H + h, after, hidden)
                there = (fired & hidden)[:, None] & bit[None, :]
                total += tl.sum(tl.load(V + (m * H + h)[:, None] * B + j[None, :], there, 0.0), 0)
            if k == 0:
                first = total
            else:
                second = total
        if K > 1:
            first += guidance * (first - second)
        at = n * L + m * B + j
        z_m = tl.where(bit & (tl.load(noise + at, bit, 1.0) < tl.sigmoid(first)), 1.0, 0.0)
        tl.store(u + at, first, bit)
        tl.store(z + at, z_m, bit)
        tl.debug_barrier()


@on_its_device
def draw(inputs: Inputs, guidance: float, constants: Sequence[float]) -> tuple[Tensor, Tensor]:
    """As reference.draw, float32."""
    noise, start, direct, scale, shift, W, V, D = (x.float().contiguous() for x in inputs)
    (n, M, B), (K, _, H) = noise.shape, start.shape
    z, u = torch.empty_like(noise), torch.empty_like(noise)
    block_b = triton.next_power_of_2(B)
    block_h = max(1, min(triton.next_power_of_2(max(H, M * B)), TILE // block_b))
    if n:
        c, v = torch.stack([start, start]), start.new_zeros(2, *start.shape)
        _draw[(n,)](
            noise, scale, shift, W, V, D, c, v, direct, z, u, guidance, M, B, H,
            Constants(*constants), K=K, BLOCK_B=block_b, BLOCK_H=block_h, num_warps=8, enable_fp_fusion=False,
        )  # fmt: skip
    return z, u
