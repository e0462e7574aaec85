"""Inception Score: the exponential of the mutual information between images and predicted classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fsvae_tcja.utils.processes import total
from fsvae_tcja.utils.spelling import choose

from .measure import Measure, Values, check_logits

if TYPE_CHECKING:
    from ..protocols import Recipe

SHUFFLE_SEED = 2020  # torch-fidelity's
ENOUGH = 4  # images of a class in a split; log IS is below its expectation by up to (classes - 1) / (2 images)
CONSTANT = 1e-6  # above an Inception Score of 1, that of equal predictions

SPLIT_ORDER: dict[str, Callable[[int], Tensor]] = {
    "in order": torch.arange,
    "shuffled": lambda n: torch.from_numpy(np.random.RandomState(SHUFFLE_SEED).permutation(n)),
}
"""Functions n -> int64 [n], the order in which images go into splits: as they come, or torch-fidelity's permutation."""


def split_of_each(n: int, splits: int, order: str) -> Tensor:
    """int64 [n]: the split of each image; splits are as even as can be, `order` is a name of SPLIT_ORDER.

    Raises:
        ValueError: fewer images than splits, or an unknown order.
    """
    if n < splits:
        raise ValueError(f"an Inception Score over {splits} splits needs at least {splits} images, found {n}")
    bounds = torch.arange(splits + 1) * n // splits
    split = torch.repeat_interleave(torch.arange(splits), bounds.diff())
    return torch.empty_like(split).scatter_(0, choose(SPLIT_ORDER, order, "split order")(n), split)


class Predictions:
    """Sums of predicted classes over the images of each split, O(splits x classes) memory, float64.

    With p_i the predictions of the n_s images of a split s and q their mean,

        IS_s = exp( mean_i sum_k p_ik (log p_ik - log q_k) )
             = exp( (sum_i sum_k p_ik log p_ik) / n_s - sum_k q_k log q_k )

    Args:
        split: int64 [n], the split of each image.
        classes: number of classes.
        device: where to sum.
    """

    def __init__(self, split: Tensor, classes: int, device: torch.device | str = "cpu") -> None:
        splits = int(split.max()) + 1
        self.split = split.to(device)
        self.counts = torch.zeros(splits, dtype=torch.float64, device=device)  # [S]
        self.predictions = torch.zeros(splits, classes, dtype=torch.float64, device=device)  # [S, K], sum of p
        self.certainty = torch.zeros(splits, dtype=torch.float64, device=device)  # [S], sum of p log p

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    def update(self, logits: Tensor, start: int) -> None:
        """Take logits [B, K] of the images start .. start + B - 1.

        Raises:
            ValueError: NaN or infinite logits.
        """
        check_logits(logits)
        logits = logits.to(self.predictions.device).double()
        p = logits.softmax(1)
        split = self.split[start : start + len(logits)]
        self.counts += torch.bincount(split, minlength=len(self.counts))
        self.predictions.index_add_(0, split, p)
        self.certainty.index_add_(0, split, (p * logits.log_softmax(1)).sum(1))

    def reduce(self) -> None:
        """Join what all processes have seen."""
        self.counts, self.predictions, self.certainty = map(total, (self.counts, self.predictions, self.certainty))

    def value(self) -> tuple[float, float]:
        """Mean and (population) standard deviation over the splits."""
        q = self.predictions / self.counts[:, None]
        scores = (self.certainty / self.counts - torch.xlogy(q, q).sum(1)).exp()
        return scores.mean().item(), scores.std(correction=0).item()


class InceptionScore(Measure[Predictions]):
    """The Inception Score over `recipe.splits` splits, which needs no reference."""

    collector = Predictions
    compares = False
    better, bounds = "higher", (1.0, math.inf)

    def check(self, recipe: Recipe, scored: int | None, reference: int | None = None) -> None:
        self._splits(recipe, scored)

    def collect(self, recipe: Recipe, dim: int, n: int | None, device: torch.device) -> Predictions:
        return Predictions(self._splits(recipe, n), dim, device)

    def _splits(self, recipe: Recipe, n: int | None) -> Tensor:
        if n is None:
            raise ValueError(f"{recipe.score} is split before it is computed: say how many images (n, --n-images)")
        if recipe.splits is None or recipe.split_order is None:
            raise ValueError(
                f"the recipe of {recipe.score} under protocol {recipe.protocol} says no splits or no split_order"
            )
        return split_of_each(n, recipe.splits, recipe.split_order)

    def value(self, recipe: Recipe, scored: Predictions, reference: Predictions | None) -> Values:
        return {recipe.score: scored.value()}

    def notes(self, recipe: Recipe, scored: Predictions, reference: Predictions | None) -> tuple[str, ...]:
        n, classes = int(scored.counts.min()), scored.predictions.shape[1]
        if n > 1 and scored.value()[0] <= 1 + CONSTANT:
            equal = "the network predicts the same of every image: they are all but equal, or nothing that it knows"
            return (f"{recipe.score}: {equal}",)
        few = f"{recipe.score}: splits of {n} images for {classes} classes: it is biased downwards"
        return (few,) * (n < ENOUGH * classes)
