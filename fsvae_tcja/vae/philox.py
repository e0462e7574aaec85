"""Random numbers by counter (core/kernels/philox), the same on every device, as whole numbers and in [0, 1)."""

import torch
from torch import Tensor

from ..core import backend
from ..core.kernels.philox import reference


def words(seed: int, first: int, n: int, length: int, block: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Uniform words in 0..2^32 - 1, int64 [n, length]: row i is stream first + i of the key `seed`.

    Arguments as for `reference.words`; on a GPU in one kernel.
    """
    if torch.device(device).type == "cuda" and backend.choose("cuda", torch.float32) == "triton":
        from ..core.kernels.philox import triton

        return triton.words(seed, first, n, length, block, torch.device(device))
    return reference.words(seed, first, n, length, block, device)


def integers(k: int, words: Tensor) -> Tensor:
    """Words to whole numbers in 0..k-1, k in 1..2^31: floor(w k / 2^32), no value likelier by more than k / 2^32."""
    return (words * k) >> 32


def uniform(words: Tensor) -> Tensor:
    """Words to float32 numbers in [0, 1): the upper 24 bits, exactly."""
    return (words >> 8).float() * 2**-24
