"""AuthPct: the share of images that are no near copy of a training image (Alaa et al., ICML 2022).

With y(x) the training feature nearest to x, and r(y) the distance of y to the nearest of the other training features,

    AuthPct = 1 / n sum_i [ |x_i - y(x_i)| > r(y(x_i)) ]

It is a hint and no proof. Real images that were not trained on get some .5, and blurred ones of a poor generator may
get less without any copy. What it says of copies is the difference to real held-out images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .measure import Values, collapse_notes
from .neighbours import distances, radii
from .store import FeatureMeasure, FeatureStore

if TYPE_CHECKING:
    from ..protocols import Recipe


class AuthPct(FeatureMeasure):
    """The share, 0 to 1, of images farther from their nearest training image than that is from its own nearest one."""

    better, bounds = "as real held-out images", (0.0, 1.0)

    def value(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> Values:
        assert reference is not None, "it compares"
        return {recipe.score: (authentic(scored.features, reference.features), None)}

    def notes(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        hint = "a hint of copied training images, no proof; the reference has to be what was trained on"
        return (f"{recipe.score}: {hint}", *collapse_notes(recipe.score, scored.variance, reference.variance))


def authentic(x: Tensor, training: Tensor) -> float:
    """The share of features x [n, d] that are authentic among those of training images [N, d], N >= 2."""
    parts = [part.min(1) for part in distances(x, training)]
    distance, nearest = (torch.cat([part[i] for part in parts]) for i in (0, 1))  # [n]
    few, which = nearest.unique(return_inverse=True)  # only their own neighbours are looked for
    return (distance > radii(training, 1, few)[which]).double().mean().item()
