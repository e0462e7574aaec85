"""The escape-noise latent in two levels: a short base, which says what an image shows, and details given the base.

The first `base` bits of each step are the base z_b, the others the details z_d, and

    p(z) = p(z_b) p(z_d | z_b)

Each factor is an escape-noise prior (escape_prior.py). That of z_b is `prior`, with labels or clusters and guidance;
that of z_d, `detail`, reads all bits in one order, first those of z_b, which are given, then those of z_d.

The first stage of the training asks for a base that is enough for an image, and keeps it shorter than the rest:

    loss = MSE(dec(z), x) + base_weight MSE(dec(z_b), x) + rate r + base_rate r_b

dec(z_b) is what the decoder makes of silent details, of every fourth image of a batch, normalised by these: a loss, no
image to look at, for the running statistics are those of whole codes. r and r_b are -log p(z) and -log p(z_b) in nats
an image, each under a joint prior of its own, less the entropy of the posterior where a code is `stochastic`. Such a
code is ordered by importance, as in nested dropout (Rippel et al. 2014, arXiv 1402.0915). What an image shows is then
drawn in few bits, which a prior can learn, and how it looks in many.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import Neuron
from ...runtime.config import check_least
from ..activity import Passing
from .base import Term
from .escape import Escape, EscapeLatent
from .escape_prior import EscapePrior, forcing


@dataclass(frozen=True)
class Hierarchical(Escape):
    """The escape-noise latent in two levels. `groups`, `hidden`, labels, clusters and guidance are of the base."""

    base: int = 32
    """Bits of a step, the first of L, that are the base; the others are details."""
    base_rate: float = 5e-5
    """As `rate`, of the base alone; it rises over the first `base_rise` batches."""
    base_rise: int = 500
    """As `rise`, of `base_rate`."""
    base_weight: float = 0.5
    """Weight of the reconstruction error from the base alone; 0: it is not computed."""
    detail_groups: int = 32
    """Micro-steps that the prior of the details puts all T L bits into: a divisor of T L, and such that the T base
    bits of the base, which it is given, fill the first of them."""
    detail_hidden: int = 1024
    """As `hidden`, of the prior of the details."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("base", "base_rise", "detail_groups", "detail_hidden"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, found {value!r}")
        check_least(self, base_rate=0, base_weight=0)
        for name in ("groups", "joint_groups") if self.base_rate else ("groups",):
            if self.base % getattr(self, name):
                raise ValueError(f"{name} must divide base, {self.base} bits, found {getattr(self, name)}")

    def build(self, T: int, L: int, neuron: Neuron) -> "HierarchicalLatent":
        return HierarchicalLatent(self, T, L, neuron)

    def for_drawing(self) -> "Hierarchical":
        return replace(self, rate=0.0, base_rate=0.0)

    def prior_width(self, L: int) -> int:
        if self.base >= L:
            raise ValueError(
                f"base must be less than L, the bits of a step, for some are details; found {self.base} of {L}"
            )
        return self.base


class HierarchicalLatent(EscapeLatent):
    """Joint priors and priors of both levels. Noise as of the escape latent; `sample` takes it for the bits in the
    order in which they are drawn."""

    params: Hierarchical

    def __init__(self, params: Hierarchical, T: int, L: int, neuron: Neuron) -> None:
        super().__init__(params, T, L, neuron)
        whole, self.given = T * L, T * self.width  # bits of a code, and of its base
        groups = params.detail_groups
        if whole % groups or self.given * groups % whole:
            raise ValueError(
                f"detail_groups must divide the {whole} bits of a code so that whole groups hold the {self.given} of "
                f"its base, found {groups}"
            )
        self.given_groups = self.given * groups // whole
        self.micro_steps = T * params.groups + groups - self.given_groups
        if params.base_weight:
            self.terms["base_mse"] = Term("MSE", params.base_weight)
        if params.base_rate:
            self.terms["base_rate"] = Term("nats", params.base_rate)
            self.joint_base = EscapePrior(T, self.width, params.joint_groups, params.joint_hidden, neuron)
        self.detail = EscapePrior(1, whole, groups, params.detail_hidden, neuron)

    def partial(self, z: Tensor) -> Tensor:
        """The codes with silent details."""
        return torch.cat([self._of_prior(z), torch.zeros_like(z[..., self.width :])], dim=2)

    def _rates(self, z: Tensor, q: Tensor | None) -> dict[str, Tensor]:
        params, rates = self.params, super()._rates(z, q)
        if params.base_rate:
            base, of_base = self._of_prior(z), None if q is None else self._of_prior(q)
            rates["base_rate"] = self._rate(self.joint_base, base, of_base, params.base_rate, params.base_rise)
        return rates

    def nll(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().nll(z, labels) + self._nll_of_details(z)

    def _nll_of_details(self, z: Tensor) -> Tensor:
        """-log p(z_d | z_b) in nats, [N]."""
        bits = self._in_order(z)
        u = self.detail(bits.unsqueeze(0))[self.given_groups :].transpose(0, 1).flatten(1)  # [N, bits of z_d]
        return (F.softplus(u) - u * bits[:, self.given :].to(u.dtype)).sum(1)

    def _draw(self, bits: Tensor, kinds: Tensor | None, guidance: float = 0.0) -> Tensor:
        base = self.prior.sample(bits[:, : self.given].contiguous(), kinds, guidance)  # [T, N, base]
        given = forcing(base.transpose(0, 1).flatten(1))
        (whole,) = self.detail.sample(torch.cat([given, bits[:, self.given :]], dim=1))
        return torch.cat([base, whole[:, self.given :].unflatten(1, (self.T, -1)).transpose(0, 1)], dim=2)

    def _in_order(self, z: Tensor) -> Tensor:
        parts = self._of_prior(z), z[..., self.width :]
        return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1)

    def _bits_in(self, micro_steps: int) -> int:
        of_base = min(micro_steps, self.T * self.params.groups)
        of_details = (micro_steps - of_base) * self.T * self.L // self.params.detail_groups
        return of_base * self.width // self.params.groups + of_details

    def passing(self, x: Tensor | None, z: Tensor, noise: Tensor) -> Iterator[Passing]:
        yield from super().passing(x, z, noise)
        if x is None:
            yield from self.detail.passing(self._in_order(z).unsqueeze(0), None, "prior of details", self.given_groups)

    def calibrate(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        z = super().calibrate(x, noise, labels)
        if self.params.base_rate:
            self.joint_base(self._of_prior(z))
        if self.seen.any():
            self.detail(self._in_order(z).unsqueeze(0))
        return z

    def stage_losses(self, z: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        base = super().stage_losses(z, labels, generator)["loss"]
        nats = base + self._nll_of_details(z).mean()
        return {"loss": nats, "prior_nats": nats, "base_nats": base}
