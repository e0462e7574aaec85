"""The specification: Philox4x32-10 (Salmon et al., SC 2011), in integer tensors, the same on every device."""

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
MASK = 0xFFFFFFFF


def philox(counter: tuple[Tensor, ...], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Four words of a counter of four words and a key of two: int64 tensors of one shape, values in 0..2^32 - 1."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        (high0, low0), (high1, low1) = _multiply(MULTIPLIERS[0], c0), _multiply(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + KEY_STEPS[0]) & MASK, (k1 + KEY_STEPS[1]) & MASK
    return c0, c1, c2, c3


def _multiply(a: int, b: Tensor) -> tuple[Tensor, Tensor]:
    """High and low word of a product of two words, in halves of a so that int64 does not overflow."""
    low, high = (a & 0xFFFF) * b, (a >> 16) * b
    return (high + (low >> 16)) >> 16, (((high & 0xFFFF) << 16) + low) & MASK


def words(seed: int, first: int, n: int, length: int, block: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Uniform words in 0..2^32 - 1, int64 [n, length]: row i is stream first + i of the key `seed`.

    Args:
        seed: 0..2^64 - 1.
        first: number of the first stream, 0..2^63 - 1.
        n: streams.
        length: words of each, up to 2^34.
        block: which 2^34 words of the stream, 0..2^32 - 1.
        device: where they are computed.
    """
    stream = torch.arange(first, first + n, device=device)[:, None]
    counter = torch.arange(-(-length // 4), device=device).expand(n, -1)
    zero = torch.zeros_like(counter)
    found = philox((counter, zero + block, (stream & MASK) + zero, (stream >> 32) + zero), (seed & MASK, seed >> 32))
    return torch.stack(found, dim=2).flatten(1)[:, :length]
