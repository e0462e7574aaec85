"""Philox on the GPU, in Triton: one launch for all words."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256  # counters of a program, of four words each


@triton.jit(do_not_specialize=["seed", "first", "block", "n", "length"])
def _words(out, seed, first, block, n, length, BLOCK: tl.constexpr):
    quads = tl.cdiv(length, 4)
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, quad = i // quads, i % quads
    stream = row + first
    high, low = (stream >> 32).to(tl.uint32), stream.to(tl.uint32)
    found = tl.philox(
        tl.cast(seed, tl.uint64), quad.to(tl.uint32), tl.zeros_like(low) + tl.cast(block, tl.uint32), low, high
    )
    for j in tl.static_range(4):
        at = quad * 4 + j
        tl.store(out + row * length + at, found[j].to(tl.int64), (row < n) & (at < length))


def words(seed: int, first: int, n: int, length: int, block: int, device: torch.device) -> Tensor:
    """As reference.words."""
    out = torch.empty(n, length, dtype=torch.int64, device=device)
    grid = (triton.cdiv(n * triton.cdiv(length, 4), BLOCK),)
    with torch.cuda.device_of(out):
        _words[grid](out, seed, first, block, n, length, BLOCK=BLOCK)
    return out
