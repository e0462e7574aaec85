"""All features of a set of images, for measures that need every pair."""

import torch
from torch import Tensor

from fsvae_tcja.utils.processes import gather

from .measure import beyond_rounding, check_features
from .neighbours import radii


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
        """[n, d]"""
        return torch.cat([part for _, part in sorted(self.parts, key=lambda item: item[0])])

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
