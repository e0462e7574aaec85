"""Threshold-dependent batch normalisation (tdBN), arXiv 2011.05280."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TDBatchNorm(nn.Module):
    """Batch norm over time, batch and space, one pair of statistics per channel, scaled to the firing threshold.

        y = gamma alpha v_th (x - mean) / sqrt(var + eps) + beta

    An ordinary batch norm over the time-folded batch [T*N, C, ...] whose weight is gamma * alpha * v_th.

    Args:
        channels: C.
        v_th: threshold of the neurons behind it.
        alpha: 1, or 2 in the latent networks.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics.
    """

    def __init__(
        self, channels: int, v_th: float, alpha: float = 1.0, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.scale = alpha * v_th
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor, repeats: int = 1, batch_statistics: bool | None = None) -> Tensor:
        """Normalise x [N, C, ...], the time axis folded into N.

        Args:
            x: the input. A static input may be given once, [N, C, ...], with `repeats` = T.
            repeats: how many equal copies of x the statistics stand for.
            batch_statistics: use (and track) the statistics of this batch; None means in training mode only.
        """
        if batch_statistics is None:
            batch_statistics = self.training
        weight = self.weight * self.scale
        if not batch_statistics:
            return F.batch_norm(x, self.running_mean, self.running_var, weight, self.bias, False, 0.0, self.eps)
        count = x.numel() // x.shape[1]
        if count * repeats < 2:
            raise ValueError(
                f"training needs more than one value per channel to normalise, found an input of shape {list(x.shape)}; "
                "use a larger batch, or eval mode"
            )
        self.num_batches_tracked += 1
        if repeats == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, weight, self.bias, True, self.momentum, self.eps
            )
        # T equal copies have the mean and the biased variance of one; only the unbiased variance knows their number.
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, weight, self.bias, True, 1.0, self.eps)
        var *= (1 - 1 / count) / (1 - 1 / (count * repeats))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        return y

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, scale={self.scale}"
