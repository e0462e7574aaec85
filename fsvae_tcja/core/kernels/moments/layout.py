"""Memory layout of the moments: channels-last, [S, P, C]."""

from torch import Tensor


def channels_last(y: Tensor) -> Tensor:
    """y [S, C, ...] with its channels innermost in memory; copied only if they are not."""
    order = [0, *range(2, y.dim()), 1]
    inverse = [0, y.dim() - 1, *range(1, y.dim() - 1)]
    return y.permute(order).contiguous().permute(inverse)


def walk(y: Tensor) -> Tensor:
    """y [S, C, ...] as the kernels walk it, [S, P, C]."""
    return y.permute(0, *range(2, y.dim()), 1).reshape(y.shape[0], -1, y.shape[1])
