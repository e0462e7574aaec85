"""What can be computed from features, by name: a file and a line here for each."""

from typing import Any

from .frechet import Frechet, GaussianStatistics
from .inception_score import InceptionScore
from .kid import KID
from .measure import Collector, Measure
from .precision_recall import PrecisionRecall
from .store import FeatureStore
from .sure import Sure

MEASURES: dict[str, Measure[Any]] = {
    "frechet": Frechet(),
    "inception score": InceptionScore(),
    "kid": KID(),
    "precision recall": PrecisionRecall(),
    "sure": Sure(),
}

__all__ = ["MEASURES", "Collector", "FeatureStore", "GaussianStatistics", "Measure"]
