"""Firing rates as the code, drawn as spikes: the Poisson sampling of ESVAE (arXiv 2310.14839)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...core import Neuron, Surrogate, spike
from ...runtime.config import check_least
from ...utils.shares import gathered
from ..activity import Passing
from ..losses import mmd_rbf
from ..noise import Source
from .base import Latent, LatentModule, Term

# Of the spike that is drawn, where its rate r is above a uniform number u: ds/dr = 1 where |r - u| < 0.5.
SURROGATE = Surrogate("rectangle", 1.0)
SPEED = 10  # their prior learns at ten times the learning rate


@dataclass(frozen=True)
class Poisson(Latent):
    """Rates of the encoder's neurons, from which each step draws its spikes by itself: ESVAE."""

    weight: float = 1e-3
    """Of the MMD^2 between the rates of images and of the prior, in the loss."""

    def __post_init__(self) -> None:
        check_least(self, weight=0)

    def build(self, T: int, L: int, neuron: Neuron) -> "PoissonLatent":
        return PoissonLatent(self, T, L, neuron)


class RatePrior(nn.Module):
    """r_p = sigmoid(W n + b) of standard normal n [N, L].

    W and b are SPEED times what is stored, which makes Adam's steps in W and b so much longer (their decay is not).
    """

    def __init__(self, L: int) -> None:
        super().__init__()
        self.linear = nn.Linear(L, L)
        for parameter in self.linear.parameters():
            parameter.data /= SPEED

    def forward(self, n: Tensor) -> Tensor:
        return torch.sigmoid(SPEED * self.linear(n.to(self.linear.weight.dtype)))


class PoissonLatent(LatentModule):
    """z_t ~ Bernoulli(r), independent in t: r_q is the mean over t of the encoder's spikes, r_p that of the prior.

    Its noise is [T + 1, N, L]: n of the prior, then uniform numbers. Its q is r_q and n, both [N, L].
    """

    def __init__(self, params: Poisson, T: int, L: int, neuron: Neuron) -> None:
        super().__init__(params, T, L, {"mmd": Term("MMD^2 of the rates", params.weight)})
        self.prior = RatePrior(L)

    def noise(self, source: Source) -> Tensor:
        return torch.cat([source.normal(1, self.L), source.uniform(self.T, self.L)])

    def check_noise(self, noise: Tensor, n: int) -> Tensor:
        shape = [self.T + 1, n, self.L]
        if list(noise.shape) != shape or not noise.is_floating_point():
            found = f"{noise.dtype} {list(noise.shape)}"
            raise ValueError(f"noise must be floating point [T + 1, N, L] = {shape}, found {found}")
        return noise

    def infer(self, x: Tensor, noise: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        rate = x.mean(0)
        return spike(rate - noise[1:], 0.0, SURROGATE).to(x.dtype), (rate, noise[0])

    def divergence(
        self,
        z: Tensor,
        q: tuple[Tensor, Tensor],
        *,
        progress: float | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Two-sample MMD^2 between the rates of the batch and as many of the prior."""
        rate, n = q
        with torch.autocast(z.device.type, enabled=False):
            rates = gathered(torch.cat([rate.float(), self.prior(n.float())], dim=1), generator)  # [N, 2L]
            return {"mmd": mmd_rbf(*rates.chunk(2, dim=1))}

    def passing(self, x: Tensor | None, z: Tensor, noise: Tensor) -> Iterator[Passing]:
        if x is None:
            yield Passing("prior", self.prior.linear, noise[:1], 1, 0, binary=False)

    @torch.no_grad()
    def sample(self, noise: Tensor) -> Tensor:
        return (self.prior(noise[0]) > noise[1:]).to(noise.dtype)
