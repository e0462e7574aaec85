"""The latent as an autoregressive Bernoulli process. SPEC: FSVAE 2022, section 4.

A latent network gives k spikes per latent neuron and step; z_t is one of them, drawn uniformly: a Bernoulli draw with
p = mean over k. Two ways to draw a whole z:

    stream   carry the membranes, one step of work for each t: O(T); normalises by the running statistics
    prefix   run the network over all of z_<t for each t: O(T^2); the published way

In eval mode, where both normalise by the running statistics, they are the same function.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..core import FSVAE_LIF, LIF, Linear, SpikingLayer, TDBatchNorm
from .replay import replayed

SCHEDULED_FROM = 5  # scheduled sampling leaves the first steps alone
PREDICTION_NOISE = 1e-3  # breaks the ties of the prior's own prediction


def pick(spikes: Tensor, choice: Tensor) -> Tensor:
    """One of the k spikes: spikes [..., L, k], choice [..., L] in 0..k-1 -> z [..., L]."""
    return spikes.gather(-1, choice.unsqueeze(-1)).squeeze(-1)


def shift(z: Tensor) -> Tensor:
    """z_{t-1} for every t, with z_0 = 0. [T, N, L] -> [T, N, L]."""
    return torch.cat([torch.zeros_like(z[:1]), z[:-1]])


class LatentNetwork(nn.Module):
    """Three spiking layers: features -> 2L -> 4L -> kL, tdBN with alpha 2.

    Args:
        features: width of the input: 2L for the posterior (latent current and z_{t-1}), L for the prior (z_{t-1}).
        latent: L.
        k: spikes per latent neuron.
    """

    def __init__(self, features: int, latent: int, k: int) -> None:
        super().__init__()
        self.latent = latent
        self.k = k
        widths = [features, 2 * latent, 4 * latent, k * latent]
        self.layers = nn.ModuleList(
            SpikingLayer(Linear(a, b), TDBatchNorm(b, FSVAE_LIF.v_th, alpha=2), LIF(FSVAE_LIF))
            for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, features] -> spikes [T, N, L, k]."""
        for layer in self.layers:
            x = layer(x)
        return x.unflatten(2, (self.latent, self.k))

    def step(self, x: Tensor, state: list[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
        """x [N, features], the membranes of the three layers -> spikes [N, L, k], membranes."""
        after = []
        for layer, v in zip(self.layers, state, strict=True):
            x, v = layer.step(x, v)
            after.append(v)
        return x.unflatten(1, (self.latent, self.k)), after

    def rest(self) -> list[Tensor | None]:
        """The state before the first step."""
        return [None] * len(self.layers)


def _input(x: Tensor | None, z: Tensor) -> Tensor:
    """What a latent network sees: (x_t, z_{t-1}) for the posterior, z_{t-1} for the prior."""
    return z if x is None else torch.cat([x, z], dim=-1)


@replayed
def draw_stream(network: LatentNetwork, x: Tensor | None, choice: Tensor) -> Tensor:
    """Draw z [T, N, L] one step at a time; x [T, N, L] or None, choice [T, N, L]."""
    z = torch.zeros(len(choice) + 1, *choice.shape[1:], device=choice.device)  # z_0, ..., z_T
    state = network.rest()
    for t, choice_t in enumerate(choice):
        spikes, state = network.step(_input(None if x is None else x[t], z[t]), state)
        z[t + 1] = pick(spikes, choice_t)
    return z[1:]


def draw_prefix(network: LatentNetwork, x: Tensor | None, choice: Tensor) -> Tensor:
    """Draw z [T, N, L] by running the whole prefix for every step; x [T, N, L] or None, choice [T, N, L]."""
    z = torch.zeros(1, *choice.shape[1:], device=choice.device)  # z_0
    for t, choice_t in enumerate(choice):
        spikes = network(_input(None if x is None else x[: t + 1], z))
        z = torch.cat([z, pick(spikes[-1:], choice_t[None])])
    return z[1:]


DRAW = {"stream": draw_stream, "prefix": draw_prefix}


def _predict(spikes: Tensor, noise: Tensor) -> Tensor:
    """The network's own prediction of z_t: spikes [N, L, k], gaussian noise [N, L] -> [N, L]."""
    return (spikes.mean(-1) + PREDICTION_NOISE * noise > 0.5).to(spikes.dtype)


@replayed
def feed_stream(network: LatentNetwork, z: Tensor, coins: Tensor, noise: Tensor) -> Tensor:
    """z [T, N, L] with the steps where coins [T] is true predicted from those before; z_T, never an input, stays."""
    fed, state = torch.cat([torch.zeros_like(z[:1]), z]), network.rest()  # z_0, z_1, ..., z_T
    for t in range(len(z) - 1):
        spikes, state = network.step(fed[t], state)
        fed[t + 1] = torch.where(coins[t], _predict(spikes, noise[t]), fed[t + 1])
    return fed[1:]


def feed_prefix(network: LatentNetwork, z: Tensor, coins: Tensor, noise: Tensor) -> Tensor:
    """The same by running the whole prefix for each such step."""
    fed = torch.cat([torch.zeros_like(z[:1]), z])
    for t in coins[:-1].nonzero().flatten().tolist():
        fed[t + 1] = _predict(network(fed[: t + 1])[-1], noise[t])
    return fed[1:]


FEED = {"stream": feed_stream, "prefix": feed_prefix}


class Posterior(LatentNetwork):
    """q(z_t | x_<=t, z_<t)."""

    def __init__(self, latent: int, k: int) -> None:
        super().__init__(2 * latent, latent, k)

    def infer(self, x: Tensor, choice: Tensor, sampling: str) -> tuple[Tensor, Tensor]:
        """Draw z without gradient, then run all steps once with gradient and pick with the same indices.

        Args:
            x: latent spikes of the encoder [T, N, L].
            choice: [T, N, L] in 0..k-1.
            sampling: a key of `DRAW`.

        Returns:
            z [T, N, L] and q [T, N, L, k].
        """
        # z_T is never an input, so it is not drawn here.
        with torch.no_grad():
            drawn = DRAW[sampling](self, x[:-1], choice[:-1]) if len(x) > 1 else x[:0]
        past = torch.cat([torch.zeros_like(x[:1]), drawn])
        q = self(_input(x, past))
        return pick(q, choice), q


class Prior(LatentNetwork):
    """p(z_t | z_<t)."""

    def __init__(self, latent: int, k: int) -> None:
        super().__init__(latent, latent, k)

    def predict(self, z: Tensor) -> Tensor:
        """p [T, N, L, k] for a given z [T, N, L], which gets no gradient."""
        return self(shift(z.detach()))

    @torch.no_grad()
    def schedule(self, z: Tensor, coins: Tensor, noise: Tensor, sampling: str) -> Tensor:
        """Scheduled sampling: z with some steps replaced by the prior's own prediction.

        Args:
            z: [T, N, L].
            coins: bool [T]; True replaces that step for the whole batch.
            noise: gaussian [T, N, L], scaled here.
            sampling: "stream" or "prefix".

        Returns:
            [T, N, L] in {0, 1}.
        """
        z = z.detach()
        end = len(z)
        if z.device.type != "cuda":  # there a recorded run of one length is faster than a shorter one
            tossed = coins[:-1].nonzero()  # z_T is never an input
            end = int(tossed.max()) + 2 if len(tossed) else 0
        fed = FEED[sampling](self, z[:end], coins[:end].to(z.device), noise[:end])
        return torch.cat([fed, z[end:]])

    @torch.no_grad()
    def sample(self, choice: Tensor, sampling: str = "stream") -> Tensor:
        """Draw z [T, N, L] from the prior with the given picks [T, N, L]."""
        return DRAW[sampling](self, None, choice)
