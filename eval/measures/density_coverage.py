"""Density and coverage (Naeem et al., ICML 2020), k = 5 neighbours.

With B_j the open ball around the reference feature y_j, as far as the k-th nearest of the other reference features,

    density  = 1 / (k n) sum_i sum_j [x_i in B_j]        coverage = 1 / N sum_j [some x_i in B_j]

Real images get 1 of the first, which has no upper end, and nearly 1 of the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .measure import Values, collapse_notes
from .neighbours import distances, few_notes, radii
from .store import FeatureMeasure, FeatureStore

if TYPE_CHECKING:
    from ..protocols import Recipe


@dataclass(frozen=True)
class DensityCoverage(FeatureMeasure):
    """How densely the scored images lie among those of the reference, and how many of these they cover."""

    k: int = 5
    """Neighbours."""

    better = "higher"

    def bounds_of(self, name: str) -> tuple[float, float]:
        return (0.0, 1.0 if name.startswith("Coverage") else math.inf)

    def least(self, recipe: Recipe) -> int:
        return self.k + 1  # an image and its neighbours

    def value(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> Values:
        assert reference is not None, "it compares"
        density, coverage = density_and_coverage(scored.features, reference.features, self.k, reference.radii(self.k))
        return {recipe.in_space("Density"): (density, None), recipe.in_space("Coverage"): (coverage, None)}

    def notes(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        few = few_notes(recipe.score, scored.n, reference.n)
        return few + collapse_notes(recipe.score, scored.variance, reference.variance)


def density_and_coverage(x: Tensor, y: Tensor, k: int, radius: Tensor | None = None) -> tuple[float, float]:
    """Density and coverage of features x [n, d] among y [N, d], N > k, whose `radii` [N] may be known."""
    radius = radii(y, k) if radius is None else radius
    pairs, covered = 0, torch.zeros(len(y), dtype=torch.bool)
    for part in distances(x, y):
        inside = part < radius  # [n, N]
        pairs += int(inside.sum())
        covered |= inside.any(0)
    return pairs / (k * len(x)), covered.double().mean().item()
