"""The specification of the moments. Every fused kernel agrees with this file."""

from torch import Tensor


def moments(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y [S, C, ...] -> mean over space of each sample [S, C], mean [C] and biased variance [C] of the batch."""
    y = y.flatten(2) if y.dim() > 2 else y.unsqueeze(2)
    return y.mean(2), y.mean((0, 2)), y.var((0, 2), correction=0)
