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
    """Counts of images, and of those whose largest predicted probability is above a threshold.

    Args:
        above: the threshold, in [0, 1).
        device: where to count.
    """

    def __init__(self, above: float, device: torch.device | str = "cpu") -> None:
        self.above = above
        self.counts = torch.zeros(2, dtype=torch.int64, device=device)  # all, sure

    @property
    def n(self) -> int:
        return int(self.counts[0])

    def update(self, logits: Tensor, start: int) -> None:
        """Take logits [B, K].

        Raises:
            ValueError: NaN or infinite logits.
        """
        check_logits(logits)
        sure = logits.to(self.counts.device).double().softmax(1).amax(1) > self.above  # [B]
        self.counts += torch.stack([torch.ones_like(sure).sum(), sure.sum()])

    def reduce(self) -> None:
        """Join what all processes have seen."""
        self.counts = total(self.counts)

    def value(self) -> float:
        """The share, 0 to 1."""
        return int(self.counts[1]) / self.n


@dataclass(frozen=True)
class Sure(Measure[SureImages]):
    """(images i with max_k p_ik > .95) / n, p_i the predictions of the classifier: 0 to 1, no reference.

    High for images that are clearly of one class, whichever: it says nothing about how many classes there are.
    """

    above: float = 0.95
    """The largest predicted probability has to be above this one."""

    collector = SureImages
    compares = False

    def collect(self, recipe: Recipe, dim: int, n: int | None, device: torch.device) -> SureImages:
        return SureImages(self.above, device)

    def value(self, recipe: Recipe, scored: SureImages, reference: SureImages | None) -> Values:
        return {recipe.score: (scored.value(), None)}
