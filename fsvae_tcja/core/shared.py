"""Batch statistics over all processes that train on parts of one batch: one sum over them forward, one backward.

Of a batch whose part p_r lies in process r, with mean m_r and biased variance V_r there,

    m = sum_r p_r m_r,   V = sum_r p_r (V_r + m_r^2) - m^2      in float64, so that nothing cancels

The loss of every process depends on m and V: their gradients are summed, and p_r of the sum goes to the values there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..utils.processes import total
from .kernels.norm.reference import affine, track


class BatchStatistics(nn.Module):
    """A norm that in training mode takes the statistics of its batch.

    Attributes:
        part: of the batch, that this process has; below 1 the statistics are those of all processes.
    """

    part = 1.0


@contextmanager
def sharing(model: nn.Module, part: float) -> Iterator[None]:
    """Inside, forward and backward, the norms of a model see `part` of a batch, and other processes the rest."""
    norms = [module for module in model.modules() if isinstance(module, BatchStatistics)]
    for norm in norms:
        norm.part = part
    try:
        yield
    finally:
        for norm in norms:
            norm.part = 1.0


def of_all(mean: Tensor, var: Tensor, part: float) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of this process's part of a batch -> of the batch, without gradient."""
    kind = mean.dtype
    mean, var = mean.double(), var.double()
    mean, square = total(part * torch.stack([mean, var + mean.square()]))
    return mean.to(kind), (square - mean.square()).clamp(min=0).to(kind)


def batch_norm_of_all(x: Tensor, weight: Tensor, bias: Tensor, eps: float, part: float) -> tuple[Tensor, ...]:
    """Normalise x [N, C, ...], a part of a batch, by the statistics of the batch, with the gradient through these.

    Returns:
        y, of the shape of x; mean and biased variance [C], without gradient.
    """
    values = x.double().transpose(0, 1).flatten(1)  # [C, values]
    mean, square = total(part * torch.stack([values.mean(1), values.square().mean(1)]))
    var = (square - mean.square()).clamp(min=0).to(weight.dtype)
    mean = mean.to(weight.dtype)
    tables = affine(weight, bias, mean, var, 1.0, eps)
    shape = (1, -1, *(1,) * (x.dim() - 2))
    return (tables.scale.view(shape) * x + tables.shift.view(shape)).to(x.dtype), mean.detach(), var.detach()


class BatchNorm2d(nn.BatchNorm2d, BatchStatistics):
    """nn.BatchNorm2d whose statistics processes can share, on every device."""

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> the same shape."""
        if not self.training or self.part == 1:
            return super().forward(x)
        y, mean, var = batch_norm_of_all(x, self.weight, self.bias, self.eps, self.part)
        count = round(x.numel() / x.shape[1] / self.part)
        assert self.running_mean is not None and self.running_var is not None  # none of ours goes without
        assert self.num_batches_tracked is not None
        track(self.running_mean, self.running_var, self.num_batches_tracked, mean, var, count, self.momentum)
        return y
