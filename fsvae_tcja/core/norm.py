"""Threshold-dependent batch normalisation (tdBN), arXiv 2011.05280."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shared import BatchStatistics, batch_norm_of_all


def affine(weight: Tensor, bias: Tensor, mean: Tensor, inverse_deviation: Tensor) -> tuple[Tensor, Tensor]:
    """weight (x - mean) / deviation + bias as scale x + shift; all [C]."""
    scale = weight * inverse_deviation
    return scale, bias - scale * mean


class TDBatchNorm(BatchStatistics):
    """Batch norm over time, batch and space, one pair of statistics per channel, scaled to the firing threshold.

        y = gamma alpha v_th (x - mean) / sqrt(var + eps) + beta

    An ordinary batch norm over the time-folded batch [T*N, C, ...] whose weight is gamma * alpha * v_th.

    Args:
        channels: C.
        v_th: threshold of the neurons behind it.
        alpha: 1, or 2 in the latent networks.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics; None: they are the mean over the batches tracked.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, channels: int, v_th: float, alpha: float = 1.0, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__()
        self.scale = alpha * v_th
        self.eps = eps
        self.momentum = momentum
        self._tracks = True
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        """Normalise x [N, C, ...], the time axis folded into N.

        In training mode by the statistics of this batch, which go into the running ones; else by the running ones. A
        batch of which other processes have a part (`sharing`) has one pair of statistics in all of them.

        Args:
            x: the input. A static input may be given once, [N, C, ...], with `repeats` = T.
            repeats: how many equal copies of x the statistics stand for.

        Raises:
            ValueError: in training mode a batch of less than two values per channel.
        """
        if not self.training:
            return self.by_running_statistics(x)
        count = self.count(x, repeats)
        if self.part < 1:
            y, mean, var = batch_norm_of_all(x, self.weight * self.scale, self.bias, self.eps, self.part)
            self.track(mean, var, count)
            return y
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        if x.device.type == "cpu":
            # Over a channels-last CPU tensor PyTorch's variance of a million values is off by 5e-4.
            x = x.contiguous()
        y = F.batch_norm(x, mean, var, self.weight * self.scale, self.bias, True, 1.0, self.eps)
        self.track(mean, var * (1 - repeats / count), count)  # var: unbiased for one copy
        return y

    def by_running_statistics(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, ...] by the running statistics, in any mode, and leave them as they are."""
        weight = self.weight * self.scale
        return F.batch_norm(x, self.running_mean, self.running_var, weight, self.bias, False, 0.0, self.eps)

    def count(self, x: Tensor, repeats: int = 1) -> int:
        """Values per channel of x [N, C, ...] and of its other parts, `repeats` times over.

        Raises:
            ValueError: less than two may differ.
        """
        count = x.numel() // x.shape[1]
        if self.part < 1:
            count = round(count / self.part)
        if count < 2:
            raise ValueError(
                "training needs more than one value per channel to normalise, found an input of shape "
                f"{list(x.shape)}; use a larger batch, or eval mode"
            )
        return count * repeats

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Take the mean [C] and the biased variance [C] of `count` values into the running statistics."""
        if not self._tracks:
            return
        self.num_batches_tracked += 1
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * (count / (count - 1)), momentum)  # T copies: count, not var, knows them

    @contextmanager
    def untracked(self) -> Iterator[None]:
        """Inside, batches leave the running statistics as they are: a batch computed again counts once."""
        self._tracks = False
        try:
            yield
        finally:
            self._tracks = True

    def affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """The norm by these statistics as y = scale x + shift: mean and biased variance [C] -> scale, shift [C]."""
        return affine(self.weight * self.scale, self.bias, mean, torch.rsqrt(var + self.eps))

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, scale={self.scale}"
