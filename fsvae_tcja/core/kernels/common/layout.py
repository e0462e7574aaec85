"""Memory layout of the kernels: channels innermost in memory (channels-last), one row for each sample and step.

It is what the convolutions of oneDNN and cuDNN like best, and makes the channel of a value its index modulo C. A
sequence [T, N, C, ...] is read as [T, N, R], contiguous, R = P*C with P positions in space. Neurons without per-channel
input (plain LIF) need no channel: any dense order will do, N = C = 1.
"""

import math
from typing import Any

from torch import Tensor


def order(y: Tensor, channels: bool) -> list[int]:
    """The permutation of y [T, ...] under which it is (or will be made) contiguous."""
    if channels:
        return [0, 1, *range(3, y.dim()), 2]
    strides = y.stride()
    return [0, *sorted(range(1, y.dim()), key=lambda i: -strides[i])]


def inverse(permutation: list[int]) -> list[int]:
    """The permutation that undoes it."""
    return sorted(range(len(permutation)), key=permutation.__getitem__)


def dense(y: Tensor, permutation: list[int]) -> Tensor:
    """y permuted and contiguous. Copies where it must."""
    return y.permute(permutation).contiguous()


def contiguous(y: Tensor, permutation: list[int]) -> Tensor:
    """y itself if its memory is contiguous under the permutation, else a copy that is."""
    return dense(y, permutation).permute(inverse(permutation))


def new(like: Tensor, permutation: list[int], steps: int, **kind: Any) -> Tensor:
    """Uninitialised [steps, ...] of the shape of `like` [T, ...] whose memory is contiguous under the permutation."""
    shape = [like.shape[i] for i in permutation]
    return like.new_empty([steps, *shape[1:]], **kind).permute(inverse(permutation))


def repeated(table: Tensor, times: int) -> Tensor:
    """A table [C] so many times in a row, float32; `Tensor.repeat` takes three times as long for it."""
    return table.detach().float().expand(times, -1).reshape(-1)


def rows(y: Tensor, permutation: list[int], channels: bool) -> Tensor:
    """y as the kernels read it: [T, N, R]; T = 1 where all steps are the same memory. Copies where it must."""
    y = dense(y[:1] if y.stride(0) == 0 else y, permutation)
    n = y.shape[1] if channels else 1
    return y.reshape(y.shape[0], n, math.prod(y.shape[1:]) // max(n, 1))


def channels_last(y: Tensor) -> Tensor:
    """y [S, C, ...] of S samples, itself if its channels are innermost in memory, else a copy of which they are."""
    return contiguous(y, [0, *range(2, y.dim()), 1])


def by_position(y: Tensor) -> Tensor:
    """y [S, C, ...] as [S, P, C], P positions in space."""
    return y.permute(0, *range(2, y.dim()), 1).reshape(y.shape[0], -1, y.shape[1])
