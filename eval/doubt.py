"""How sure a score is: the same score on other seeds, or on halves of its images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import stdtrit

if TYPE_CHECKING:
    from .measures import FeatureStore
    from .protocols import Recipe
    from .reference import Reference

BOOTSTRAP_SEED = 0
LEVEL = 0.95
HOW = "seeds", "bootstrap"


@dataclass(frozen=True)
class Doubt:
    """Mean, spread and interval of a score."""

    how: str
    """"seeds": drawn anew on the seeds that follow; "bootstrap": of halves of the images, drawn without replacement."""
    times: int
    """Seeds, or halves."""
    mean: float
    """Over the seeds; of a bootstrap the score itself, since scores of half the images may be biased."""
    spread: float
    """Standard deviation of the score of one seed, or of these n images."""
    low: float
    high: float
    """Where the mean lies with 95% confidence, by Student's t, cut to the values that the score can have."""

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.spread / math.sqrt(self.times) if self.how == "seeds" else self.spread

    def within(self, least: float, most: float) -> Doubt:
        """With the interval cut to these bounds of the score.

        No mean lies beyond them, so that what is left holds it as often: Student's t knows nothing of a share's ends.
        """
        return replace(self, low=max(self.low, least), high=min(self.high, most))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Doubt:
        """What `dataclasses.asdict` made.

        Raises:
            ValueError: it did not.
        """
        kinds = {"how": str, "times": int}
        if content.keys() != {field.name for field in fields(cls)} or any(
            not isinstance(value, kinds.get(name, (int, float))) for name, value in content.items()
        ):
            raise ValueError("not a score: its doubt is of another form")
        doubt = cls(**content)
        numbers = doubt.mean, doubt.spread, doubt.low, doubt.high
        if doubt.how not in HOW or doubt.times < 2 or doubt.spread < 0 or not all(map(math.isfinite, numbers)):
            raise ValueError(f"not a score: its doubt is {doubt}")
        return doubt


def half_width(error: float, freedom: float) -> float:
    """Half of a 95% interval around a mean whose standard error is known with so many degrees of freedom."""
    return float(stdtrit(freedom, (1 + LEVEL) / 2)) * error


def of_seeds(values: Sequence[float]) -> Doubt:
    """The doubt of scores of images drawn on several seeds, at least 2."""
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    width = half_width(spread / math.sqrt(len(values)), len(values) - 1)
    return Doubt("seeds", len(values), mean, spread, mean - width, mean + width)


def bootstrap(
    recipe: Recipe, features: FeatureStore, reference: Reference | None, times: int, values: dict[str, float]
) -> dict[str, Doubt]:
    """The doubt of each of a measure's values, by scores of `times` halves of the scored images.

    Without replacement: an image twice would be its own neighbour. The variance of the score of n images is that of m
    of them times m / (n - m) (Politis and Romano 1994; Shao and Wu 1989).

    Raises:
        ValueError: half of the images are too few for the measure.
    """
    measure, n, half = recipe.measured, features.n, features.n // 2
    try:
        measure.check(recipe, half, reference.n if reference else None)
    except ValueError as error:
        raise ValueError(f"a bootstrap (--bootstrap) scores halves of the {n} images: {error}") from None
    random, everything = np.random.RandomState(BOOTSTRAP_SEED), features.features
    found: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(times):
        some = measure.collect(recipe, everything.shape[1], half, torch.device("cpu"))
        some.update(everything[torch.from_numpy(random.permutation(n)[:half])], 0)
        for name, (value, _) in measure.value(recipe, some, reference.statistics if reference else None).items():
            found[name].append(value)
    return {name: _around(value, found[name], math.sqrt(half / (n - half))) for name, value in values.items()}


def _around(value: float, halves: Sequence[float], scale: float) -> Doubt:
    spread = float(np.std(halves, ddof=1)) * scale
    width = half_width(spread, len(halves) - 1)
    return Doubt("bootstrap", len(halves), value, spread, value - width, value + width)


def difference(a: Doubt, b: Doubt) -> tuple[float, float]:
    """Mean of b minus mean of a, and half of its 95% interval (Welch's, for independent images)."""
    parts = [(one.error**2, one.times - 1) for one in (a, b)]
    variance = sum(square for square, _ in parts)
    spread_of_it = sum(square**2 / freedom for square, freedom in parts)
    freedom = variance**2 / spread_of_it if spread_of_it else 1.0
    return b.mean - a.mean, half_width(math.sqrt(variance), freedom)
