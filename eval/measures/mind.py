"""Monge Inception Distance (Berthet et al., arXiv 2605.06797), a sliced 2-Wasserstein distance, as in torch-fidelity.

With u_1..u_M random unit vectors of R^d, and n features on either side,

    MIND = 3 d / (M n) sum_m sum_i (sort(X u_m)_i - sort(Y u_m)_i)^2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .measure import Values, collapse_notes
from .store import FeatureMeasure, FeatureStore

if TYPE_CHECKING:
    from ..protocols import Recipe

SEED = 2020  # torch-fidelity's
AT_ONCE = 100  # directions


@dataclass(frozen=True)
class MIND(FeatureMeasure):
    """MIND over torch-fidelity's directions. Of the larger side as many are drawn as the smaller one has."""

    directions: int = 1000
    """M."""

    better, bounds = "lower", (0.0, math.inf)

    def value(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> Values:
        assert reference is not None, "it compares"
        return {recipe.score: (mind(scored.features, reference.features, self.directions), None)}

    def notes(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        n = min(scored.n, reference.n)
        drawn = tuple(
            f"{recipe.score}: {n} of the {side.n} {which} images, drawn: it takes as many on either side"
            for which, side in (("scored", scored), ("reference", reference))
            if side.n > n
        )
        return drawn + collapse_notes(recipe.score, scored.variance, reference.variance)


def mind(x: Tensor, y: Tensor, directions: int = 1000) -> float:
    """MIND of features [N, d] and [N', d]: those that torch-fidelity draws, in float64.

    Raises:
        ValueError: features of different lengths.
    """
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"cannot compare features of {x.shape[1]} dimensions with features of {y.shape[1]}")
    generator, n = torch.Generator().manual_seed(SEED), min(len(x), len(y))
    x, y = (side[torch.randperm(len(side), generator=generator)[:n]] if len(side) > n else side for side in (x, y))
    u = torch.randn(directions, x.shape[1], generator=generator)  # [M, d]
    u = (u / u.norm(dim=1, keepdim=True)).double()
    total = sum(_squares(x.double(), y.double(), some) for some in u.split(AT_ONCE))
    return 3 * x.shape[1] / (directions * n) * total


def _squares(x: Tensor, y: Tensor, u: Tensor) -> float:
    gap = (u @ x.T).sort().values - (u @ y.T).sort().values  # [m, n]
    return gap.square().sum().item()
