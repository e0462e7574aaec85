"""The generative model."""

from .checkpoint import load, save
from .config import FSVAEConfig, TCJAConfig
from .model import FSVAE, FSVAEOutput

__all__ = ["FSVAE", "FSVAEConfig", "FSVAEOutput", "TCJAConfig", "load", "save"]
