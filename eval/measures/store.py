"""All features of a set of images, for measures that need every pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fsvae_tcja.utils.processes import gather

from .measure import Measure, beyond_rounding, check_features
from .neighbours import radii

if TYPE_CHECKING:
    from ..protocols import Recipe


class FeatureStore:
    """All features, in order, on the CPU. Memory O(n d)."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, Tensor]] = []
        self._radii: dict[tuple[int, int], Tensor] = {}

    @property
    def n(self) -> int:
        return sum(len(part) for _, part in self.parts)

    @property
    def features(self) -> Tensor:
        """[n, d], not to be written to."""
        parts = self._in_order()
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _in_order(self) -> list[Tensor]:
        return [part for _, part in sorted(self.parts, key=lambda item: item[0])]

    @property
    def variance(self) -> float:
        """Summed over the dimensions; 0 of equal features."""
        variance, mean = torch.var_mean(self.features.double(), 0)
        return beyond_rounding(variance.sum().item(), mean.square().sum().item())

    def radii(self, k: int) -> Tensor:
        """`neighbours.radii` of all features, computed once."""
        key = (k, self.n)
        if key not in self._radii:
            self._radii = {key: radii(self.features, k)}
        return self._radii[key]

    def update(self, features: Tensor, start: int) -> None:
        """Take features [B, d] of the images start .. start + B - 1.

        Raises:
            ValueError: another shape, or NaN or infinite features.
        """
        check_features(features)
        self.parts.append((start, features.cpu()))

    def reduce(self) -> None:
        """Join what all processes have seen."""
        self.parts = [part for parts in gather(self.parts) for part in parts]
        with torch.inference_mode(False):  # a tensor like any other: a measure may train something on it
            self.parts = [(0, torch.cat(self._in_order()))]


class FeatureMeasure(Measure[FeatureStore]):
    """A measure that takes all features of either side."""

    collector = FeatureStore

    def collect(self, recipe: Recipe, dim: int, n: int | None, device: torch.device) -> FeatureStore:
        return FeatureStore()
