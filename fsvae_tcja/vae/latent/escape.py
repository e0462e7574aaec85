"""A latent whose code is what the encoder fires, with a spiking prior that is learned on it: no posterior network.

Training has two stages. First encoder and decoder, with a small joint prior that keeps the code short:

    loss = MSE + rate * r,  r = -log p(z) in nats an image under the joint prior: rate and distortion

The encoder sees rate times the gradient of r, rising over the first steps; the joint prior the gradient itself, as if
it had an optimiser of its own. Then a larger prior, on the codes of the training images, which stay as they are.

With `stochastic` the code is drawn (escape_code.py), z ~ q(z | x), and r is the KL divergence of the posterior from the
joint prior, -log p(z) - H(q). With the D = C H W pixels of an image as Gaussians of variance sigma^2 around what the
decoder makes of z,

    -ELBO = -E log p(x | z) + r = D / (2 sigma^2) MSE + r + (D / 2) log(2 pi sigma^2)   in nats an image

so the loss is, up to a factor and a constant, the negative ELBO for sigma^2 = D rate / 2 (mnist: .05, of images in
[-1, 1]). Evaluation draws too, from the random seed and the number of the image; noise of 1/2 in place of it gives the
spikes without chance. The prior is trained on codes as they are drawn, one for each image.

That prior is a mixture: p(z) = sum_y p(y) p(z | y), where y is the label of the image, or the cluster of its code.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core import LIFParams, Neuron
from ...runtime.config import Stage, check_least
from ...utils.shares import drawn
from ..activity import Passing
from ..noise import Source
from .base import Latent, LatentModule, Term
from .clusters import find_centres, nearest
from .escape_code import draw, entropy
from .escape_prior import EscapePrior, forcing
from .label_counts import LabelCounts

PRIOR = Stage(epochs=10, batch_size=256, lr=6e-3, betas=(0.9, 0.98), schedule="cosine", warmup=100)


@dataclass(frozen=True)
class Escape(Latent):
    """The spikes of the encoder as the code, and a prior with escape-noise output neurons."""

    groups: int = 16
    """Micro-steps a step of the prior: the bits of a step are drawn in so many parts; a divisor of L."""
    hidden: int = 1024
    """Spiking neurons of the prior."""
    rate: float = 1e-4
    """Weight of the code length in the loss of the first stage, per nat an image; 0: no joint prior is trained."""
    rise: int = 500
    """First batches, or parts of them, over which that weight rises from 0; the longer the code, the more of them."""
    joint_groups: int = 4
    """As `groups`, of the joint prior."""
    joint_hidden: int = 256
    """As `hidden`, of the joint prior."""
    classes: int = 0
    """Classes of the images, if the prior is to know the label; 0: it does not."""
    clusters: int = 0
    """Clusters of the codes, found before the second stage, which the prior knows in place of labels; 0: none."""
    label_dropout: float = 0.15
    """Part of the images that are shown to the prior without their label or cluster."""
    guidance: float = 0.0
    """w: bits are drawn with u_y + w (u_y - u_none), towards what is typical of the label or cluster; 0: from the prior
    as it is."""
    stochastic: float = 0.0
    """tau of a code that is drawn: its neurons, of membrane u, fire with probability sigmoid((u - v_th) / tau), and the
    rate is the KL divergence of an ELBO; 0: they fire where u > v_th."""
    prior: Stage = field(default_factory=lambda: PRIOR)
    """The second stage, of the prior alone."""

    of_spikes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("groups", "hidden", "rise", "joint_groups", "joint_hidden", "classes", "clusters"):
            value, least = getattr(self, name), int(name not in ("classes", "clusters"))
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number >= {least}, found {value!r}")
        check_least(self, rate=0)
        for name in ("guidance", "stochastic"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be >= 0, found {getattr(self, name)}")
        if self.classes and self.clusters:
            raise ValueError(
                f"the prior knows labels or clusters, found classes={self.classes} and clusters={self.clusters}; "
                "set one of them to 0"
            )
        if self.guidance and not (self.classes or self.clusters):
            raise ValueError(f"guidance leads towards a class, found {self.guidance} without classes or clusters")
        if not 0 <= self.label_dropout < 1:
            raise ValueError(f"label_dropout must be in [0, 1), found {self.label_dropout}")

    @property
    def takes_current(self) -> bool:
        return self.stochastic > 0

    def build(self, T: int, L: int, neuron: Neuron) -> "EscapeLatent":
        return EscapeLatent(self, T, L, neuron)

    def stages(self) -> list[Stage]:
        return [self.prior]

    def lasting(self, steps: Sequence[int]) -> "Escape":
        (prior,) = steps
        return replace(self, prior=self.prior.lasting(prior))

    def for_drawing(self) -> "Escape":
        """The same without joint priors, which only training needs."""
        return replace(self, rate=0.0)

    def prior_width(self, L: int) -> int:
        """How many bits of a step, the first of L, `prior` draws."""
        return L


class _Scaled(torch.autograd.Function):
    """x, whose gradient is multiplied by a factor on its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def _drawing(neuron: Neuron) -> LIFParams:
    if not isinstance(neuron, LIFParams):
        raise ValueError(
            f"a stochastic code is drawn by LIF neurons, found {type(neuron).__name__}; set stochastic to 0"
        )
    return neuron


class EscapeLatent(LatentModule):
    """Joint prior and prior. Its noise is uniform [1, N, T L], with kinds [1, N, T L + 1]: the last draws one of them,
    the others the bits of a code, in `sample` and, where the code is stochastic, in `infer`.

    Before its second stage it has seen no code, and draws from a prior that is not trained.
    """

    params: Escape
    steps: Tensor
    seen: Tensor
    centres: Tensor

    def __init__(self, params: Escape, T: int, L: int, neuron: Neuron) -> None:
        super().__init__(params, T, L, {"rate": Term("nats", params.rate)} if params.rate else {})
        self.width = params.prior_width(L)
        self.neuron = _drawing(neuron) if params.stochastic else None
        self.classes = params.classes
        self.kinds = params.classes or params.clusters
        self.micro_steps = T * params.groups
        if params.rate and L % params.joint_groups:
            raise ValueError(f"joint_groups must divide the {L} bits of a step, found {params.joint_groups}")
        if params.rate:
            self.joint = EscapePrior(T, L, params.joint_groups, params.joint_hidden, neuron)
        self.prior = EscapePrior(T, self.width, params.groups, params.hidden, neuron, self.kinds)
        self.register_buffer("steps", torch.tensor(0))  # batches of the first stage, or parts of them
        self.register_buffer("seen", torch.zeros(self.kinds + 1))  # codes of each kind, and of none
        if params.clusters:
            self.register_buffer("centres", torch.zeros(params.clusters, T * self.width))

    def noise(self, source: Source) -> Tensor:
        return source.uniform(1, self.T * self.L + bool(self.kinds))

    def check_noise(self, noise: Tensor, n: int) -> Tensor:
        shape = [1, n, self.T * self.L + bool(self.kinds)]
        if list(noise.shape) != shape or not noise.is_floating_point():
            raise ValueError(f"noise must be floating point {shape}, found {noise.dtype} {list(noise.shape)}")
        if not torch.compiler.is_compiling() and not (noise.min() >= 0 and noise.max() < 1):
            raise ValueError(f"noise must lie in [0, 1), found {noise.min().item()} to {noise.max().item()}")
        return noise

    def infer(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.neuron is None:
            return x, None
        return draw(
            x, self._bits(noise).unflatten(1, (self.T, -1)).transpose(0, 1), self.neuron, self.params.stochastic
        )

    def divergence(
        self, z: Tensor, q: Tensor | None, *, progress: float | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The rate: nats an image under the joint prior, less the entropy of the posterior that z was drawn from."""
        rates = self._rates(z, q)
        if rates and self.training:
            self.steps += 1
        return rates

    def _rates(self, z: Tensor, q: Tensor | None) -> dict[str, Tensor]:
        params = self.params
        return {"rate": self._rate(self.joint, z, q, params.rate, params.rise)} if params.rate else {}

    def _rate(self, joint: EscapePrior, z: Tensor, q: Tensor | None, rate: float, rise: int) -> Tensor:
        """What `joint` gives, of whose gradient z sees `rate` times as much, rising over the first steps."""
        risen = torch.ones_like(self.steps, dtype=torch.float32)
        if self.training:
            risen = (self.steps / rise).clamp(max=1)
        # FSVAE.losses multiplies what it gets by `rate`: the joint prior's gradient is divided by it.
        weight = rate * risen
        nats = joint.nll(_Scaled.apply(z, weight)).mean()
        if q is not None:
            nats = nats - entropy(_Scaled.apply(q, weight)).mean()
        scaled: Tensor = _Scaled.apply(nats, 1 / rate)
        return scaled

    def nll(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """-log p(z | y) under the prior, in nats, [N]. That of p(z) alone is at most -log p(y) more (`nats_of_kind`).

        Args:
            z: code [T, N, L].
            labels: int64 [N], with classes; -1 where there is none. None: no label is known.
        """
        return self.prior.nll(self._of_prior(z), self.kinds_of(z, labels))

    def nats_of_kind(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """-log p(y) of the labels or clusters of codes z [T, N, L], as often as seen, in nats, [N]; inf if never."""
        kinds = self.kinds_of(z, labels)
        return z.new_zeros(z.shape[1]) if kinds is None else -(self.seen / self.seen.sum()).log()[kinds]

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """A code z [T, N, L] from the prior, for labels [N] or clusters; without, each is drawn as often as it was
        seen."""
        bits = self._bits(noise)
        labels = self.draw_kinds(noise) if labels is None else labels.to(bits.device)
        return self._draw(bits, labels, self.params.guidance)

    def _draw(self, bits: Tensor, kinds: Tensor | None, guidance: float = 0.0) -> Tensor:
        """A code [T, N, L] of noise [N, T L] for its bits in the order in which they are drawn."""
        return self.prior.sample(bits, kinds, guidance)

    def _in_order(self, z: Tensor) -> Tensor:
        """The bits of codes z [T, N, L] in the order in which they are drawn, [N, T L]."""
        return z.transpose(0, 1).flatten(1)

    def _bits_in(self, micro_steps: int) -> int:
        """How many bits the first micro-steps draw."""
        return micro_steps * self.L // self.params.groups

    def _of_prior(self, z: Tensor) -> Tensor:
        """The bits of codes z [T, N, L] that `prior` draws."""
        return z[..., : self.width]

    def passing(self, x: Tensor | None, z: Tensor, noise: Tensor) -> Iterator[Passing]:
        if x is not None:
            return
        kinds = self.draw_kinds(noise)
        z = self._of_prior(z)
        yield from self.prior.passing(z, kinds, "prior")
        if self.params.guidance and kinds is not None:
            yield from self.prior.passing(z, torch.full_like(kinds, self.kinds), "guiding prior")

    def complete(self, z: Tensor, given: int, noise: Tensor) -> Tensor:
        """Of no kind in particular: a part of a code does not say which it will be."""
        bits = self._bits(noise).clone()
        known = self._bits_in(given)
        bits[:, :known] = forcing(self._in_order(z)[:, :known].to(bits))
        none = torch.full((len(bits),), self.kinds, device=bits.device) if self.kinds else None
        return self._draw(bits, none)

    def tempered(self, noise: Tensor, temperature: float) -> Tensor:
        """b < sigmoid(u / temperature) is sigmoid(temperature logit(b)) < sigmoid(u)."""
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be > 0, found {temperature}")
        if temperature == 1:
            return noise
        changed = noise.clone()
        bits = changed[..., : self.T * self.L]
        bits.copy_(torch.sigmoid(temperature * torch.logit(bits)))
        return changed

    def _bits(self, noise: Tensor) -> Tensor:
        """The part of the noise that is of the bits, [N, T L]."""
        return noise[0, :, : self.T * self.L]

    def draw_kinds(self, noise: Tensor) -> Tensor | None:
        """The labels or clusters [N] that noise draws; None if there are none."""
        if not self.kinds:
            return None
        share = torch.where(self.seen.any(), self.seen, 1.0).cumsum(0)
        # how many shares lie below: torch.searchsorted has no counterpart in ONNX
        return (share / share[-1] <= noise[0, :, -1:]).sum(1).clamp(max=self.kinds)

    def kinds_for(self, labels: Tensor, noise: Tensor) -> Tensor:
        labels = labels.to(noise.device)
        return self.label_counts.draw(labels, noise[0, :, -1]) if self.label_counts else labels

    def kinds_of(self, z: Tensor, labels: Tensor | None = None) -> Tensor | None:
        """What the prior is told of codes z [T, N, L]: their clusters, or their labels, `kinds` where there is none."""
        if not self.kinds:
            return None
        if self.params.clusters:
            return nearest(self._of_prior(z).transpose(0, 1).flatten(1), self.centres)
        if labels is None:
            return torch.full((z.shape[1],), self.kinds, device=z.device)
        return labels.to(z.device).masked_fill(labels.to(z.device) < 0, self.kinds)

    def calibrate(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        z, _ = self.infer(x, noise)
        if self.params.rate:
            self.joint(z)
        if self.seen.any():
            self.prior(self._of_prior(z), self.kinds_of(z, labels))
        return z

    def start_stage(self, codes: Tensor, labels: Tensor) -> None:
        z = codes.to(self.seen.device).transpose(0, 1)
        if self.params.clusters:
            self.centres.copy_(find_centres(self._of_prior(codes).flatten(1), self.params.clusters))
        kinds = self.kinds_of(z, labels)
        kinds = torch.zeros_like(labels) if kinds is None else kinds
        if self.params.clusters:
            self.label_counts = LabelCounts.of(kinds, labels.to(kinds.device), self.kinds)
        self.seen.copy_(torch.bincount(kinds, minlength=self.kinds + 1))

    def stage_losses(self, z: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        kinds = self.kinds_of(z, labels)
        if kinds is not None and self.training:
            device = generator.device
            chance = drawn(lambda n: torch.rand(n, generator=generator, device=device), len(kinds), generator)
            hidden = chance < self.params.label_dropout
            kinds = kinds.masked_fill(hidden.to(kinds.device), self.kinds)
        nats = self.prior.nll(self._of_prior(z), kinds).mean()
        return {"loss": nats, "prior_nats": nats}
