"""Kernel Inception Distance: torch-fidelity's, the squared MMD of a cubic kernel over random subsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .measure import Values, collapse_notes
from .store import FeatureMeasure, FeatureStore

if TYPE_CHECKING:
    from ..protocols import Recipe


@dataclass(frozen=True)
class KID(FeatureMeasure):
    """Mean and deviation over torch-fidelity's 100 random subsets."""

    subset: int = 1000
    """Images in a subset; all, where there are fewer."""

    better = "lower"

    def value(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> Values:
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

        assert reference is not None, "it compares"
        size = self._size(scored, reference)
        metric = kid_features_to_metric(scored.features, reference.features, kid_subset_size=size, verbose=False)
        return {recipe.score: (metric[KEY_METRIC_KID_MEAN], metric[KEY_METRIC_KID_STD])}

    def notes(self, recipe: Recipe, scored: FeatureStore, reference: FeatureStore | None) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        size = self._size(scored, reference)
        notes = (f"{recipe.score}: subsets of {size} images, there are fewer than {self.subset}",)
        return notes[size >= self.subset :] + collapse_notes(recipe.score, scored.variance, reference.variance)

    def _size(self, scored: FeatureStore, reference: FeatureStore) -> int:
        return min(self.subset, scored.n, reference.n)
