"""The latents by name. A new one is a file like bernoulli.py and a line here."""

from .base import Latent, LatentModule, Term
from .bernoulli import Bernoulli
from .escape import Escape
from .gaussian import Gaussian
from .hierarchical import Hierarchical
from .poisson import Poisson

LATENTS: dict[str, Latent] = {
    "bernoulli": Bernoulli(),
    "escape": Escape(),
    "hierarchical": Hierarchical(),
    "poisson": Poisson(),
    "gaussian": Gaussian(),
}
Latent.table = LATENTS

__all__ = ["LATENTS", "Bernoulli", "Escape", "Gaussian", "Hierarchical", "Latent", "LatentModule", "Poisson", "Term"]
