"""Improved precision and recall (Kynkaanniemi et al. 2019): torch-fidelity's, neighbourhoods of three images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .measure import Values, collapse_notes
from .neighbours import few_notes
from .store import FeatureMeasure, FeatureStore

if TYPE_CHECKING:
    from ..protocols import Recipe


class PrecisionRecall(FeatureMeasure):
    """Parts of the scored images near the reference, and of the reference near the scored images."""

    better, bounds = "higher", (0.0, 1.0)

    def least(self, recipe: Recipe) -> int:
        return 4  # an image and its three nearest neighbours

    def value(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> Values:
        from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

        assert reference is not None, "it compares"
        # a part of the distances at a time: all of 50,000 images to as many others are 20 GB
        metric = prc_features_to_metric(scored.features, reference.features, save_cpu_ram=True, verbose=False)
        precision, recall = metric[KEY_METRIC_PRECISION], metric[KEY_METRIC_RECALL]
        return {recipe.in_space("Precision"): (precision, None), recipe.in_space("Recall"): (recall, None)}

    def notes(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        few = few_notes(recipe.score, scored.n, reference.n)
        return few + collapse_notes(recipe.score, scored.variance, reference.variance)
