"""Running a model in another mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluated(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Run in eval mode (or in training mode) without gradients, and restore the mode of every module."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        with torch.no_grad():
            yield
    finally:
        for module, before in modes:
            module.training = before
