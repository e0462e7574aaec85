"""The generative model."""

from .checkpoint import load, save
from .config import FSVAEConfig, TCJAConfig
from .latent import LATENTS, Bernoulli, Escape, Gaussian, Hierarchical, Latent, LatentModule, Poisson, Term
from .model import FSVAE, FSVAEOutput
from .noise import Source
from .readout import READOUTS, Readout

__all__ = [
    "FSVAE",
    "LATENTS",
    "READOUTS",
    "Bernoulli",
    "Escape",
    "FSVAEConfig",
    "FSVAEOutput",
    "Gaussian",
    "Hierarchical",
    "Latent",
    "LatentModule",
    "Poisson",
    "Readout",
    "Source",
    "TCJAConfig",
    "Term",
    "load",
    "save",
]
