"""What a classifier gets right."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fsvae_tcja.runtime.data import batches

from .data import LabelledData, time_first, to_input
from .model import SpikingClassifier


@dataclass(frozen=True)
class Evaluation:
    """Counts over a split: confusion int64 [K, K], rows true, columns predicted."""

    confusion: Tensor

    @property
    def n(self) -> int:
        """Inputs seen."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Part named rightly, in [0, 1]."""
        return self.confusion.diagonal().sum().item() / self.n

    @property
    def per_class(self) -> Tensor:
        """Accuracy of each class [K]; NaN where there is none of it."""
        return self.confusion.diagonal() / self.confusion.sum(1)


def inputs(data: LabelledData, batch_size: int, device: torch.device | str) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches as the network takes them, with their labels [N]."""
    for x, labels in batches(data, batch_size):
        yield time_first(to_input(x.to(device))), labels


@torch.no_grad()
def predict(model: SpikingClassifier, x: Tensor) -> Tensor:
    """Mean outputs [N, K] of inputs [N, C, H, W] or [T, N, C, H, W], in eval mode; the mode is put back.

    Raises:
        ValueError: inputs that are not finite, or as `SpikingClassifier.forward`.
    """
    if not x.isfinite().all():
        raise ValueError("inputs must be finite, found NaN or infinity")
    training = model.training
    try:
        return model.eval()(x).mean(0)
    finally:
        model.train(training)


def evaluate(model: SpikingClassifier, data: LabelledData, batch_size: int = 64) -> Evaluation:
    """Name every input of a split.

    Raises:
        ValueError: an empty split.
    """
    if len(data) == 0:
        raise ValueError(f"the {data.split} split of {data.name} is empty; a larger --validation makes a valid split")
    classes = model.config.classes
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    device = next(model.parameters()).device
    for x, labels in inputs(data, batch_size, device):
        predicted = predict(model, x).argmax(1).cpu()
        confusion += torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
    return Evaluation(confusion)
