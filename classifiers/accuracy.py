"""What a classifier gets right."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fsvae_tcja.data import LabelledDataset, batches, time_first, to_input
from fsvae_tcja.runtime.modes import evaluated

from .model import SpikingClassifier
from .parts import parts


@dataclass(frozen=True)
class Evaluation:
    """Counts over a split: confusion int64 [K, K], rows true, columns predicted."""

    confusion: Tensor
    silent: int | None = None
    """Inputs for which no output neuron fired, so that all classes are equal; None of a network that ends in logits."""

    @property
    def n(self) -> int:
        """Inputs seen."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Fraction correct, in [0, 1]."""
        return self.confusion.diagonal().sum().item() / self.n

    @property
    def per_class(self) -> Tensor:
        """Accuracy of each class, float64 [K]; NaN where there is none of it."""
        return self.confusion.diagonal().double() / self.confusion.sum(1)


def inputs(data: LabelledDataset, batch_size: int, device: torch.device | str) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches as the network takes them, with their labels [N]."""
    for x, labels in batches(data, batch_size):
        yield time_first(to_input(x.to(device))), labels


def predict(model: SpikingClassifier, x: Tensor) -> Tensor:
    """Mean outputs [N, K] of inputs [N, C, H, W] or [T, N, C, H, W], in eval mode; the mode is put back.

    Raises:
        ValueError: inputs that are not finite, or as `SpikingClassifier.forward`.
    """
    if not x.isfinite().all():
        raise ValueError("inputs must be finite, found NaN or infinity")
    with evaluated(model):
        return model(x).mean(0)


def ranking(outputs: Tensor) -> Tensor:
    """Classes [N, K] from the largest of mean outputs [N, K] down; among equals the lowest number comes first."""
    return outputs.sort(dim=1, descending=True, stable=True).indices


def ends_in_spikes(model: SpikingClassifier) -> bool:
    """Whether outputs are rates of neurons, which may all be silent, and no logits."""
    found = parts(model)
    return bool(found) and found[-1].spikes is not None


def evaluate(model: SpikingClassifier, data: LabelledDataset, batch_size: int = 64) -> Evaluation:
    """Name every input of a split, by the first of its `ranking`.

    Raises:
        ValueError: an empty split.
    """
    if len(data) == 0:
        raise ValueError(f"the {data.split} split of {data.name} is empty; a larger --validation makes a valid split")
    classes = model.config.classes
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    device, silent = next(model.parameters()).device, 0
    for x, labels in inputs(data, batch_size, device):
        outputs = predict(model, x).cpu()
        silent += int((outputs == 0).all(1).sum())
        predicted = ranking(outputs)[:, 0]
        confusion += torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
    return Evaluation(confusion, silent if ends_in_spikes(model) else None)
