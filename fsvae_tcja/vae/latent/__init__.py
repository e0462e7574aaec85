"""The latents by name. A new one is a file like bernoulli.py and a line here."""

from .base import Latent, LatentModule, Term
from .bernoulli import Bernoulli
from .escape import Escape

LATENTS: dict[str, Latent] = {
    "bernoulli": Bernoulli(),
    "escape": Escape(),
}
Latent.table = LATENTS

__all__ = ["LATENTS", "Bernoulli", "Escape", "Latent", "LatentModule", "Term"]
