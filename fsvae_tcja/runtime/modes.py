"""Running a model in another mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..core.precision import float32_products


@contextmanager
def evaluated(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Run in eval mode (or in training mode) without gradients, and restore the mode of every module.

    Float32 products are float32, whatever the program around it or a training with TF32 has set: an image drawn, a
    code or a figure is the same wherever it is computed.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        with torch.no_grad(), float32_products("ieee"):
            yield
    finally:
        for module, before in modes:
            module.training = before
