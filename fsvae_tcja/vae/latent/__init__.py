"""The latents by name. A new one is a file like bernoulli.py and a line here."""

from .base import Latent, LatentModule, Term
from .bernoulli import Bernoulli

LATENTS: dict[str, Latent] = {
    "bernoulli": Bernoulli(),
}
Latent.table = LATENTS

__all__ = ["LATENTS", "Bernoulli", "Latent", "LatentModule", "Term"]
