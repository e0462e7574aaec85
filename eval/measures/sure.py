"""The share of images that a classifier is sure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fsvae_tcja.utils.processes import total

from .measure import Measure, Values, check_logits

if TYPE_CHECKING:
    from ..protocols import Recipe


class SureImages:
    """Counts of images by the class that is predicted, and of those whose predicted probability is above a threshold.

    Args:
        above: the threshold, in [0, 1).
        classes: K, their number.
        device: where to count.
    """

    def __init__(self, above: float, classes: int, device: torch.device | str = "cpu") -> None:
        self.above = above
        self.counts = torch.zeros(2, classes, dtype=torch.int64, device=device)  # all, sure

    @property
    def n(self) -> int:
        return int(self.counts[0].sum())

    @property
    def classes(self) -> int:
        """How many classes are predicted of any image."""
        return int(self.counts[0].count_nonzero())

    def update(self, logits: Tensor, start: int) -> None:
        """Take logits [B, K].

        Raises:
            ValueError: NaN or infinite logits.
        """
        check_logits(logits)
        probability, predicted = logits.to(self.counts.device).double().softmax(1).max(1)  # [B]
        parts = predicted, predicted[probability > self.above]
        self.counts += torch.stack([torch.bincount(part, minlength=self.counts.shape[1]) for part in parts])

    def reduce(self) -> None:
        """Join what all processes have seen."""
        self.counts = total(self.counts)

    def value(self) -> float:
        """The share, 0 to 1."""
        return int(self.counts[1].sum()) / self.n


@dataclass(frozen=True)
class Sure(Measure[SureImages]):
    """(images i with max_k p_ik > .95) / n, p_i the predictions of the classifier: 0 to 1, no reference.

    High for images that are clearly of one class, whichever: it says nothing about how many classes there are.
    """

    above: float = 0.95
    """The largest predicted probability has to be above this one."""

    collector = SureImages
    compares = False
    better, bounds = "higher", (0.0, 1.0)

    def collect(self, recipe: Recipe, dim: int, n: int | None, device: torch.device) -> SureImages:
        return SureImages(self.above, dim, device)

    def value(self, recipe: Recipe, scored: SureImages, reference: SureImages | None) -> Values:
        return {recipe.score: (scored.value(), None)}

    def notes(self, recipe: Recipe, scored: SureImages, reference: SureImages | None) -> tuple[str, ...]:
        return (f"{recipe.score}: all images are taken for one class",) * (scored.classes == 1)
