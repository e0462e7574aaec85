"""The Frechet distance of infinitely many scored images (Chong and Forsyth, CVPR 2020).

The distance of n images is biased upwards by a term in 1 / n. Distances at 15 values of n, from a tenth of the images
to all of them, lie about a line in 1 / n, whose value at 0 is the score.
The reference stays as it is, with its own bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .frechet import GaussianStatistics, frechet_distance
from .measure import Values, collapse_notes
from .store import FeatureMeasure, FeatureStore

if TYPE_CHECKING:
    from ..protocols import Recipe

POINTS = 15
SEED = 0


class FDInfinity(FeatureMeasure):
    """The Frechet distance at 1 / n = 0, and the standard error of that end of the line."""

    better = "lower"

    def least(self, recipe: Recipe) -> int:
        return 10 * POINTS

    def value(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> Values:
        assert reference is not None, "it compares"
        return {recipe.score: fd_infinity(scored.features, GaussianStatistics.of(reference.features))}

    def notes(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        smallest, dim = sizes(scored.n)[0], scored.features.shape[1]
        few = f"{recipe.score}: its line starts at {smallest} images for {dim} features, where it is no line yet"
        return (few,) * (smallest <= dim) + collapse_notes(recipe.score, scored.variance, reference.variance)


def sizes(n: int) -> list[int]:
    """The numbers of images at which distances are taken."""
    return [int(size) for size in np.linspace(n // 10, n, POINTS)]


def fd_infinity(features: Tensor, reference: GaussianStatistics) -> tuple[float, float]:
    """The distance of features [n, d], n >= 150, extrapolated to n = infinity, and its standard error."""
    random, n = np.random.RandomState(SEED), sizes(len(features))
    subsets = [features[torch.from_numpy(random.permutation(len(features))[:size])] for size in n]
    found = [frechet_distance(GaussianStatistics.of(subset), reference) for subset in subsets]
    return line_at_zero(1 / np.array(n), np.array(found))


def line_at_zero(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Value at x = 0 of the least-squares line through points (x [p], y [p]), and its standard error."""
    slope, intercept = np.polyfit(x, y, 1)
    spread = np.square(y - intercept - slope * x).sum() / (len(x) - 2)
    error = spread * (1 / len(x) + x.mean() ** 2 / np.square(x - x.mean()).sum())
    return float(intercept), float(np.sqrt(error))
