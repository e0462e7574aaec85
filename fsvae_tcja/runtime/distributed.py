"""A training step over several processes: each computes its share of every batch, all take the same step.

The loss is a mean over the images of a batch. A process with n_r of n images scales its own by n_r / n times the number
of processes; DistributedDataParallel averages the gradients over the processes: they are those of the whole batch.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.shared import sharing
from ..utils.processes import total, world
from ..utils.shares import Share, share_of

Losses = Callable[[Any], dict[str, Tensor]]

_NEWER = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # from PyTorch 2.13 on
_OWN_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _NEWER else "broadcast_buffers": False}


def shares(batch: int, parts: int = 1) -> list[Share]:
    """What this process has of each of the parts that a batch is computed in, one after the other.

    Raises:
        ValueError: a part has not an image for each process.
    """
    return [share_of(len(part)) for part in torch.arange(batch).chunk(parts)]


def own(order: Tensor, shared: Sequence[Share]) -> list[int]:
    """The images of this process: of a batch in its order, int64 [n], its shares."""
    parts = order.split([share.whole for share in shared])
    return torch.cat([share.take(part) for share, part in zip(shared, parts, strict=True)]).tolist()


def summed(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scalars, summed over the processes."""
    if world() == 1:
        return dict(losses)
    values = total(torch.stack([value.double() for value in losses.values()])).float()
    return dict(zip(losses, values.unbind(), strict=True))


class Replica:
    """Computes losses such that the backward pass gives the gradients of the whole batch.

    Args:
        losses: from a share of a batch to scalars, of which "loss" is minimised.
        modules: what is trained; equal in all processes from here on.
    """

    def __init__(self, losses: Losses, modules: Sequence[nn.Module]) -> None:
        self.modules = nn.ModuleList(modules)
        self.losses = losses
        self.parallel: DistributedDataParallel | None = None
        if world() > 1:
            # Of weights [C, 1, h, w], whose stride of the second dimension means nothing.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            # What a loss does not reach stays without gradient, as alone; statistics are equal already.
            self.parallel = DistributedDataParallel(
                _Computed(losses, self.modules), find_unused_parameters=True, **_OWN_BUFFERS
            )

    @contextmanager
    def part(self, share: Share, last: bool) -> Iterator[None]:
        """Around forward and backward of a part of a batch; after the last one the gradients are exchanged."""
        if self.parallel is None:
            yield
            return
        with ExitStack() as stack:
            stack.enter_context(sharing(self.modules, share.n / share.whole))
            if not last:
                stack.enter_context(self.parallel.no_sync())
            yield

    def __call__(self, batch: Any) -> dict[str, Tensor]:
        return self.losses(batch) if self.parallel is None else self.parallel(batch)


class _Computed(nn.Module):
    """The losses as a module, which is what DistributedDataParallel knows."""

    def __init__(self, losses: Losses, modules: nn.ModuleList) -> None:
        super().__init__()
        self.trained = modules
        self.losses = losses
        # Without any unused weight DistributedDataParallel warns that it looks in vain; all must lie on one device.
        self.unused = nn.Parameter(torch.zeros((), device=next(modules.parameters()).device))

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Only what is minimised leads back to the weights."""
        return {name: value if name == "loss" else value.detach() for name, value in self.losses(batch).items()}
