"""What every measure has: what it collects from features, and what it makes of that."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..protocols import Recipe

COLLAPSED = 1e-6  # of the variance of the other images
ROUNDING = 1e-10  # of the squared mean, above the variance that rounding gives to equal features

Values = dict[str, tuple[float, float | None]]
"""Value and standard deviation (None: there is none) by the name of the score."""


class Collector(Protocol):
    """What grows while images go by."""

    @property
    def n(self) -> int:
        """Images so far."""
        ...

    def update(self, features: Tensor, start: int) -> None:
        """Take features [B, d] of the images start .. start + B - 1."""

    def reduce(self) -> None:
        """Join what all processes have seen."""


C = TypeVar("C", bound=Collector)


class Measure(ABC, Generic[C]):
    """One way to make a number of features. A new one is a class in a file of its own and a line in MEASURES."""

    collector: ClassVar[type]
    """Class of what it collects, of either side if it compares."""
    compares: ClassVar[bool] = True
    """Whether it compares with reference images."""
    better: ClassVar[str] = ""
    """Which values are better: "lower", "higher", or what a good one is; "": not known."""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """The lowest and the highest value that there can be."""

    def least(self, recipe: Recipe) -> int:
        """The fewest images, on either side, that it makes sense of."""
        return 2

    def bounds_of(self, name: str) -> tuple[float, float]:
        """The bounds of one of several values, by the name of the score."""
        return self.bounds

    @abstractmethod
    def collect(self, recipe: Recipe, dim: int, n: int | None, device: torch.device) -> C:
        """What the features [n, dim] go into; n is None if their number is not known, float64 is there on `device`."""

    @abstractmethod
    def value(self, recipe: Recipe, scored: C, reference: C | None) -> Values:
        """The score, or several; the reference is None unless the measure compares."""

    def notes(self, recipe: Recipe, scored: C, reference: C | None) -> tuple[str, ...]:
        """What a reader of the score must know."""
        return ()

    def check(self, recipe: Recipe, scored: int | None, reference: int | None = None) -> None:
        """Raise ValueError if there are too few images; None: not known yet."""
        least = self.least(recipe)
        if any(n is not None and n < least for n in (scored, reference)):
            sides = (f"{scored} to score", f"{reference} to compare with") if reference else (f"{scored} to score",)
            either = " on either side" if self.compares else ""
            raise ValueError(f"{recipe.score} needs at least {least} images{either}, found {' and '.join(sides)}")


def check_features(features: Tensor) -> None:
    """Raise ValueError for what is not features [N >= 1, d], and for NaN or infinite ones."""
    if features.dim() != 2 or len(features) == 0 or not features.is_floating_point():
        raise ValueError(f"expected floating point features [N >= 1, d], found {features.dtype} {list(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("the features hold NaN or infinite values: check the images and the extractor's weights")


def check_logits(logits: Tensor) -> None:
    """Raise ValueError for NaN or infinite logits."""
    if not logits.isfinite().all():
        raise ValueError("the logits hold NaN or infinite values: check the images and the extractor's weights")


def beyond_rounding(variance: float, squared_mean: float) -> float:
    """A summed variance, or 0 where rounding alone may have made it."""
    return variance if variance > ROUNDING * squared_mean else 0.0


def collapse_notes(name: str, scored: float, reference: float) -> tuple[str, ...]:
    """A note for a side whose features vary less than COLLAPSED of what the others do; summed variances are given."""
    return tuple(
        f"{name}: the {which} images are all but equal in these features (variance {one:.1e}, the others {other:.1e})"
        for which, one, other in (("scored", scored, reference), ("reference", reference, scored))
        if one <= COLLAPSED * other
    )
