"""Threshold-dependent batch normalisation (tdBN), arXiv 2011.05280."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import backend
from .kernels.norm import reference
from .shared import BatchStatistics, batch_norm_of_all


def tables_of(x: Tensor) -> ModuleType:
    """What computes the tables [C] of a norm where x lies: a kernel on a GPU, else `kernels/norm/reference.py`."""
    if (x.device.type, x.dtype) != ("cuda", torch.float32) or torch.compiler.is_compiling():
        return reference
    if backend.choose("cuda", torch.float32) != "triton":
        return reference
    from .kernels.norm import triton

    return triton


@contextmanager
def tracking(module: nn.Module, where: bool | Tensor) -> Iterator[None]:
    """`TDBatchNorm.tracked` for all norms of a module."""
    with ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, TDBatchNorm):
                stack.enter_context(part.tracked(where))
        yield


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
        self._tracks: bool | Tensor = True
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
        if self._tracks is False:
            return
        where = None if self._tracks is True else self._tracks
        running = self.running_mean, self.running_var, self.num_batches_tracked
        tables_of(mean).track(*running, mean, var, count, self.momentum, where)  # T copies: count, not var, knows them

    @contextmanager
    def tracked(self, where: bool | Tensor) -> Iterator[None]:
        """Inside, batches go into the running statistics where this bool says so, which a GPU may hold."""
        before, self._tracks = self._tracks, where
        try:
            yield
        finally:
            self._tracks = before

    def untracked(self) -> AbstractContextManager[None]:
        """Inside, batches leave the running statistics as they are: a batch computed again counts once."""
        return self.tracked(False)

    @property
    def mode(self) -> tuple[bool, bool, float | None]:
        """What it does with a batch: whether it trains, whether it tracks, and with what weight."""
        return self.training, self._tracks is not False, self.momentum

    def affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """The norm by these statistics as y = scale x + shift: mean and biased variance [C] -> scale, shift [C]."""
        differentiated = torch.is_grad_enabled() and any(x.requires_grad for x in (self.weight, self.bias, mean, var))
        tables = reference if differentiated else tables_of(mean)
        scale, shift, *_ = tables.affine(self.weight, self.bias, mean, var, self.scale, self.eps)
        return scale, shift

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, scale={self.scale}"
