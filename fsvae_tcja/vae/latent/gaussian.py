"""The Gaussian latent of an ordinary VAE (arXiv 1312.6114)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core import Neuron
from ...runtime.config import check_least
from ..noise import Source
from .base import Latent, LatentModule, Term


@dataclass(frozen=True)
class Gaussian(Latent):
    """Gaussian latent of an ordinary VAE: z = mu + sigma n. Made for T = 1 and neurons that do not spike."""

    weight: float = 1 / 240
    """Of the KL divergence in the loss; in the FSVAE authors' program 1 / (steps of an epoch)."""

    analog: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_least(self, weight=0)

    def features(self, L: int) -> int:
        """mu and log sigma^2."""
        return 2 * L

    def build(self, T: int, L: int, neuron: Neuron) -> "GaussianLatent":
        return GaussianLatent(self, T, L, neuron)


class GaussianLatent(LatentModule):
    """No parameters of its own: the prior is N(0, 1). Its noise is standard normal [T, N, L]; its q mu, log sigma^2."""

    def __init__(self, params: Gaussian, T: int, L: int, neuron: Neuron) -> None:
        super().__init__(params, T, L, {"kl": Term("nats", params.weight)})

    def noise(self, source: Source) -> Tensor:
        return source.normal(self.T, self.L)

    def check_noise(self, noise: Tensor, n: int) -> Tensor:
        if list(noise.shape) != [self.T, n, self.L] or not noise.is_floating_point():
            found = f"{noise.dtype} {list(noise.shape)}"
            raise ValueError(f"noise must be floating point [T, N, L] = {[self.T, n, self.L]}, found {found}")
        return noise

    def infer(self, x: Tensor, noise: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        mu, log_var = x.chunk(2, dim=-1)
        return mu + torch.exp(0.5 * log_var) * noise, (mu, log_var)

    def divergence(
        self,
        z: Tensor,
        q: tuple[Tensor, Tensor],
        *,
        progress: float | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """KL(N(mu, sigma^2) || N(0, 1)), summed over T and L, mean over N."""
        with torch.autocast(z.device.type, enabled=False):
            mu, log_var = (part.float() for part in q)
            kl = 0.5 * (mu.square() + log_var.exp() - log_var - 1)
            return {"kl": kl.sum(dim=(0, 2)).mean()}

    def sample(self, noise: Tensor) -> Tensor:
        return noise
