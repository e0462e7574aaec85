"""Whether a network fits into the memory, found out before it is taken."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..utils.memory import available, gigabytes
from .config import TrainerConfig

BYTES = 4  # of a float32
STEP = "a training step"
REMEDY = "take a smaller model, T or batch_size, or a machine with more"
BY_SHAPE = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
"""What the layers of PyTorch and ours make their parameters with; the shape comes first."""


@contextmanager
def fitting(what: str) -> Iterator["Counting"]:
    """Within, a network is built: all its parameters together must fit into the memory that is free at the start.

    On the meta device, which takes none, only what nothing could hold is refused.

    Args:
        what: how to call the network in the message.

    Yields:
        what counts them; its `check` refuses what does not fit beside them.

    Raises:
        ValueError: they do not fit; with the bytes of those up to the first that does not, which was not made.
    """
    free = 2**62 if torch.get_default_device().type == "meta" else available()
    with Counting(what, free, f"{gigabytes(free)} are free") as counting:
        yield counting


def no_larger_than(tensors: Mapping[str, Tensor]) -> "Counting":
    """Within, a network is built for these tensors: a ValueError before it takes far more memory than they do."""
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return Counting("the network that it describes", 4 * held + 2**24, f"of weights it holds {gigabytes(held)}")


class Counting(TorchFunctionMode):
    """Adds up the tensors that are made, each before it is."""

    def __init__(self, what: str, free: int, limit: str) -> None:
        super().__init__()
        self.what, self.free, self.limit, self.needed = what, free, limit, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.arange:
            self._add(args[:1])
        elif func in BY_SHAPE and args:
            self._add(args if isinstance(args[0], int) else args[0])
        return func(*args, **(kwargs or {}))

    def _add(self, shape: Sequence[Any]) -> None:
        size = prod(shape)
        self.check(size)
        self.needed += BYTES * size

    def check(self, size: int) -> None:
        """Raise a ValueError if so many numbers more do not fit, such as those between two layers."""
        if (needed := self.needed + BYTES * size) > self.free:
            raise ValueError(f"{self.what} needs at least {gigabytes(needed)} of memory, {self.limit}; {REMEDY}")


def step_memory(model: nn.Module, config: TrainerConfig) -> int:
    """Bytes that a training step takes at least.

    Weights, their gradients and AdamW's two moments, and what the layers hand on for each image of a part of the batch,
    which the backward pass needs again: the model's `sizes`, if it has them. What each layer computes by itself comes
    on top.
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    images = config.batch_size // config.accumulate
    width = BYTES if config.precision == "fp32" else BYTES // 2
    return 4 * BYTES * weights + images * width * sum(getattr(model, "sizes", ()))
