"""Spiking classifiers with temporal-channel joint attention."""

from .checkpoint import load, save
from .config import ClassifierConfig
from .model import SpikingClassifier
from .nets import NETS

__all__ = ["NETS", "ClassifierConfig", "SpikingClassifier", "load", "save"]
