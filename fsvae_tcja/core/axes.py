"""The axes of a sequence [T, N, C, ...]: its mean over space, and a table over channels spread over space."""

from torch import Tensor


def mean_over_space(x: Tensor) -> Tensor:
    """[T, N, C, H, W] -> [T, N, C]; without space, [T, N, C], x itself."""
    return x.flatten(3).mean(3) if x.dim() > 3 else x


def over_space(table: Tensor, x: Tensor) -> Tensor:
    """A table [C] or [T, N, C] in the form in which it multiplies x [T, N, C, ...]: [C, 1, 1] or [T, N, C, 1, 1]."""
    return table.view(*table.shape, *(1,) * (x.dim() - 3))
