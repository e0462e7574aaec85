"""The latent as an autoregressive Bernoulli process: FSVAE 2022 (arXiv 2110.00375), section 3.

A latent network gives k spikes per latent neuron and step; z_t is one of them, drawn uniformly: a Bernoulli draw with
p = mean over k. Two ways to draw a whole z:

    stream   carry the membranes, one step of work for each t: O(T); normalises by the running statistics
    prefix   run the network over all of z_<t for each t: O(T^2); the published way

In eval mode, where both normalise by the running statistics, they are the same function.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from ...core import Linear, Neuron, SpikingLayer, TDBatchNorm
from ...core.norm import tracking
from ...core.recording import recording
from ...runtime.seeding import on_host
from ...utils.shares import drawn
from ...utils.spelling import check_choice
from ..activity import Passing, passing
from ..losses import KLD_WEIGHT, kld, mmd
from ..noise import Source
from ..replay import replayed
from .base import Latent, LatentModule, Term

Sampling = Literal["stream", "prefix"]
Distance = Literal["mmd", "kld"]

DISTANCES = {"mmd": mmd, "kld": kld}
TERMS = {"mmd": Term("squared difference of traces"), "kld": Term("nats", KLD_WEIGHT)}

NORM_ALPHA = 2  # of the tdBN in the latent networks; this and the next three as in the published program
SCHEDULED_FROM = 5  # scheduled sampling leaves the first steps alone
SCHEDULED_PROBABILITY = 0.1, 0.3  # at the start and at the end of the training
TIE_NOISE = 1e-3  # breaks the ties of the prior's own prediction


@dataclass(frozen=True)
class Bernoulli(Latent):
    """Autoregressive Bernoulli latent of the FSVAE."""

    k: int = 20
    """Candidate spikes for each latent neuron and step; one of them is drawn."""
    sampling: Sampling = "stream"
    """How training draws z: step by step by running statistics, O(T), or the authors' prefixes, O(T^2)."""
    distance: Distance = "mmd"
    """Distance between posterior and prior in the loss: MMD of the spike traces, or KL divergence."""
    scheduled_sampling: bool = True
    """Replace inputs of the prior by its own predictions, with a probability rising from 0.1 to 0.3 over the run."""

    of_spikes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"k must be a whole number >= 1, found {self.k!r}")
        check_choice("sampling", self.sampling, Sampling)
        check_choice("distance", self.distance, Distance)

    def build(self, T: int, L: int, neuron: Neuron) -> "BernoulliLatent":
        return BernoulliLatent(self, T, L, neuron)

    def tied_to_length(self) -> list[str]:
        return ["the probability of scheduled sampling"] if self.scheduled_sampling else []


def pick(spikes: Tensor, choice: Tensor) -> Tensor:
    """One of the k spikes: spikes [..., L, k], choice [..., L] in 0..k-1 -> z [..., L]."""
    return spikes.gather(-1, choice.unsqueeze(-1)).squeeze(-1)


def shift(z: Tensor) -> Tensor:
    """z_{t-1} for every t, with z_0 = 0. [T, N, L] -> [T, N, L]."""
    return torch.cat([torch.zeros_like(z[:1]), z[:-1]])


def _layer(inputs: int, outputs: int, neuron: Neuron) -> SpikingLayer:
    transform, neurons = Linear(inputs, outputs), neuron.build(outputs)
    return SpikingLayer(transform, TDBatchNorm(outputs, neurons.v_th, NORM_ALPHA), neurons)


State = Sequence[Tensor | None]
"""The membranes of the layers; None: rest."""
Step = Callable[[Tensor, State], tuple[Tensor, State]]


class LatentNetwork(nn.Module):
    """Three spiking layers: features -> 2L -> 4L -> kL, tdBN with alpha 2.

    Args:
        features: width of the input: 2L for the posterior (encoder's spikes and z_{t-1}), L for the prior (z_{t-1}).
        L: latent neurons.
        k: candidate spikes for each.
        neuron: of all layers.
    """

    def __init__(self, features: int, L: int, k: int, neuron: Neuron) -> None:
        super().__init__()
        self.L = L
        self.k = k
        self.layers = nn.ModuleList(
            _layer(inputs, outputs, neuron) for inputs, outputs in pairwise([features, 2 * L, 4 * L, k * L])
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, features] -> spikes [T, N, L, k]."""
        for layer in self.layers:
            x = layer(x)
        return x.unflatten(2, (self.L, self.k))

    def stepper(self) -> Step:
        """Steps by the running statistics: x [N, features], membranes of the layers -> spikes [N, L, k], membranes."""
        steppers = [cast(SpikingLayer, layer).stepper() for layer in self.layers]

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            after = []
            for one, v in zip(steppers, state, strict=True):
                x, v = one(x, v)
                after.append(v)
            return x.unflatten(1, (self.L, self.k)), after

        return step

    def rest(self) -> State:
        """The state before the first step."""
        return [None] * len(self.layers)


def _input(x: Tensor | None, z: Tensor) -> Tensor:
    """The input of a latent network: (x_t, z_{t-1}) for the posterior, z_{t-1} for the prior."""
    return z if x is None else torch.cat([x, z], dim=-1)


def _silence(network: LatentNetwork, steps: int, choice: Tensor) -> Tensor:
    """So many steps of z without a spike, [steps, N, L] for picks [T, N, L], in the type of the weights."""
    return next(network.parameters()).new_zeros(steps, *choice.shape[1:])


@replayed
def draw_stream(network: LatentNetwork, x: Tensor | None, choice: Tensor) -> Tensor:
    """Draw z [T, N, L] one step at a time; x [T, N, L] or None, choice [T, N, L]."""
    z = _silence(network, len(choice) + 1, choice)  # z_0, ..., z_T
    step, state = network.stepper(), network.rest()
    for t, choice_t in enumerate(choice):
        spikes, state = step(_input(None if x is None else x[t], z[t]), state)
        z[t + 1] = pick(spikes, choice_t)
    return z[1:]


@partial(replayed, by_batch=True)
def draw_prefix(network: LatentNetwork, x: Tensor | None, choice: Tensor) -> Tensor:
    """Draw z [T, N, L] by running the whole prefix for every step; x [T, N, L] or None, choice [T, N, L]."""
    z = _silence(network, 1, choice)  # z_0
    for t, choice_t in enumerate(choice):
        spikes = network(_input(None if x is None else x[: t + 1], z))
        z = torch.cat([z, pick(spikes[-1:], choice_t[None])])
    return z[1:]


DRAW = {"stream": draw_stream, "prefix": draw_prefix}


def _predict(spikes: Tensor, noise: Tensor) -> Tensor:
    """The network's own prediction of z_t: spikes [N, L, k], gaussian noise [N, L] -> [N, L]."""
    return (spikes.mean(-1) + TIE_NOISE * noise > 0.5).to(spikes.dtype)


@replayed
def replace_stream(network: LatentNetwork, z: Tensor, where: Tensor, noise: Tensor) -> Tensor:
    """z [T, N, L] with the steps where [T] predicted by the network from those before; z_T, never an input, stays."""
    past = torch.cat([torch.zeros_like(z[:1]), z])  # z_0, z_1, ..., z_T
    step, state = network.stepper(), network.rest()
    for t in range(len(z) - 1):
        spikes, state = step(past[t], state)
        past[t + 1] = torch.where(where[t], _predict(spikes, noise[t]), past[t + 1])
    return past[1:]


def replace_prefix(network: LatentNetwork, z: Tensor, where: Tensor, noise: Tensor) -> Tensor:
    """The same by running the whole prefix for each such step, and its norms track that one.

    Where the host does not know which these are it runs all, and they count where they are such steps.
    """
    past = torch.cat([torch.zeros_like(z[:1]), z])
    known = where.device.type == "cpu"
    for t in where[:-1].nonzero().flatten().tolist() if known else range(SCHEDULED_FROM, len(z) - 1):
        with nullcontext() if known else tracking(network, where[t]):
            predicted = _predict(network(past[: t + 1])[-1], noise[t])
        past[t + 1] = predicted if known else torch.where(where[t], predicted, past[t + 1])
    return past[1:]


REPLACE = {"stream": replace_stream, "prefix": replace_prefix}


class Posterior(LatentNetwork):
    """q(z_t | x_<=t, z_<t)."""

    def __init__(self, L: int, k: int, neuron: Neuron) -> None:
        super().__init__(2 * L, L, k, neuron)

    def infer(self, x: Tensor, choice: Tensor, sampling: str) -> tuple[Tensor, Tensor]:
        """Draw z without gradient, then run all steps once with gradient and pick with the same indices.

        Args:
            x: spikes of the encoder [T, N, L].
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

    def __init__(self, L: int, k: int, neuron: Neuron) -> None:
        super().__init__(L, L, k, neuron)

    def predict(self, z: Tensor) -> Tensor:
        """p [T, N, L, k] for a given z [T, N, L], which gets no gradient."""
        return self(shift(z.detach()))

    @torch.no_grad()
    def replace(self, z: Tensor, where: Tensor, noise: Tensor, sampling: str) -> Tensor:
        """Scheduled sampling (arXiv 1506.03099): z with some steps replaced by the prior's own prediction.

        Args:
            z: [T, N, L].
            where: bool [T]; True replaces that step for the whole batch. On the CPU the host may look at it.
            noise: gaussian [T, N, L], scaled here.
            sampling: a key of `REPLACE`.

        Returns:
            [T, N, L] in {0, 1}.
        """
        z = z.detach()
        if where.device.type != "cpu":
            return REPLACE[sampling](self, z, where, noise)
        replaced = where[:-1].nonzero()  # z_T is never an input
        end = int(replaced.max()) + 2 if len(replaced) else 0
        where = where[:end] if sampling == "prefix" else where[:end].to(z.device)
        past = REPLACE[sampling](self, z[:end], where, noise[:end])
        return torch.cat([past, z[end:]])

    @torch.no_grad()
    def sample(self, choice: Tensor, sampling: str = "stream") -> Tensor:
        """Draw z [T, N, L] from the prior with the given picks [T, N, L]."""
        return DRAW[sampling](self, None, choice)


class BernoulliLatent(LatentModule):
    """Posterior and prior networks. Its noise is the picks: whole numbers [T, N, L] in 0..k-1, which spike z_t takes.

    Its q, besides z, are all spikes of the posterior [T, N, L, k].
    """

    params: Bernoulli

    def __init__(self, params: Bernoulli, T: int, L: int, neuron: Neuron) -> None:
        super().__init__(params, T, L, {params.distance: TERMS[params.distance]})
        self.posterior = Posterior(L, params.k, neuron)
        self.prior = Prior(L, params.k, neuron)

    def noise(self, source: Source) -> Tensor:
        return source.integers(self.params.k, self.T, self.L)

    def infer(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self.posterior.infer(x, noise, self.params.sampling)

    def divergence(
        self, z: Tensor, q: Tensor, *, progress: float | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """MMD or KLD to the prior that is given the z before each step: in training some by its own predictions."""
        if self.training and self.params.scheduled_sampling and progress is not None:
            z = self._scheduled(z, progress, generator)
        p = self.prior.predict(z)
        with torch.autocast(z.device.type, enabled=False):
            return {self.params.distance: DISTANCES[self.params.distance](q, p)}

    def calibrate(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """All steps once by the statistics of the batch. So are the spikes drawn that go in; that does not count."""
        with tracking(self.posterior, False):
            z = draw_prefix(self.posterior, x, noise)
        z = pick(self.posterior(_input(x, shift(z))), noise)
        self.prior.predict(z)
        return z

    def sample(self, noise: Tensor) -> Tensor:
        return self.prior.sample(noise)

    def passing(self, x: Tensor | None, z: Tensor, noise: Tensor) -> Iterator[Passing]:
        """All steps at once: in eval mode the same spikes as one after the other."""
        network, name = (self.prior, "prior") if x is None else (self.posterior, "posterior")
        past = _input(x, shift(z))
        for i, layer in enumerate(network.layers):
            spikes = layer(past)
            yield passing(f"{name} {i}", layer, past, spikes, binary=True)
            past = spikes

    def check_noise(self, noise: Tensor, n: int) -> Tensor:
        if noise.shape != (self.T, n, self.L):
            raise ValueError(f"noise must be [T, N, L] = {[self.T, n, self.L]}, found {list(noise.shape)}")
        wanted = f"noise must be whole numbers in 0..{self.params.k - 1}, which of the k spikes to take"
        if noise.is_floating_point():
            raise ValueError(f"{wanted}; found {noise.dtype}")
        if not torch.compiler.is_compiling() and (noise.min() < 0 or noise.max() >= self.params.k):
            raise ValueError(f"{wanted}; found {noise.min().item()} to {noise.max().item()}")
        return noise.to(torch.int64)

    def _scheduled(self, z: Tensor, progress: float, generator: torch.Generator | None) -> Tensor:
        first, last = SCHEDULED_PROBABILITY
        where = self._where(first + (last - first) * progress, generator, z.device)
        if where.device.type == "cpu" and not where.any():
            return z
        device = z.device if generator is None else generator.device
        T, N, L = z.shape
        noise = drawn(lambda n: torch.randn(T, n, L, generator=generator, device=device), N, generator, axis=1)
        return self.prior.replace(z, where, noise.to(z.device), self.params.sampling)

    def _where(self, probability: float, generator: torch.Generator | None, device: torch.device) -> Tensor:
        """Which steps are replaced, bool [T]. By prefixes the host is to know them: each costs the others before it."""
        if generator is not None and self.params.sampling == "prefix" and not recording():
            generator = on_host(generator)
        device = device if generator is None else generator.device
        where = torch.rand(self.T, generator=generator, device=device) < probability
        where[:SCHEDULED_FROM] = False
        return where
