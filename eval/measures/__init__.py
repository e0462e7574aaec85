"""What can be computed from features, by name: a file and a line here for each."""

from typing import Any

from .authpct import AuthPct
from .density_coverage import DensityCoverage
from .fd_infinity import FDInfinity
from .frechet import Frechet, GaussianStatistics
from .inception_score import InceptionScore
from .kid import KID
from .measure import Collector, Measure
from .mind import MIND
from .precision_recall import PrecisionRecall
from .store import FeatureMeasure, FeatureStore
from .sure import Sure

MEASURES: dict[str, Measure[Any]] = {
    "frechet": Frechet(),
    "inception score": InceptionScore(),
    "kid": KID(),
    "precision recall": PrecisionRecall(),
    "sure": Sure(),
    "mind": MIND(),
    "density coverage": DensityCoverage(),
    "authpct": AuthPct(),
    "frechet infinity": FDInfinity(),
}

__all__ = ["MEASURES", "Collector", "FeatureMeasure", "FeatureStore", "GaussianStatistics", "Measure"]
