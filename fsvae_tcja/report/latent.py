"""How a model uses its latent: how often each bit is one, in codes of images and in codes that it draws."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.dataset import LabelledDataset, some
from ..runtime.modes import evaluated
from ..vae.codes import codes_of
from ..vae.model import FSVAE
from ..vae.sample import noise_of
from .page import WIDTH

N = 1000  # codes of either kind


@dataclass(frozen=True)
class LatentUse:
    """Rates of the bits [T, L] in [0, 1], over n codes each; those of images None without images."""

    n: int
    drawn: Tensor
    encoded: Tensor | None

    def lines(self) -> list[str]:
        """What there is to say, a line for each kind of code."""
        return [f"{name}: {_summary(rates)} n = {self.n:,}." for name, rates in self._kinds().items()]

    def figure(self) -> Figure:
        """Rates of all bits, sorted by neuron, one scale from 0 to 1 for all panels."""
        kinds = self._kinds()
        figure = Figure((WIDTH, 1.6 + 1.1 * len(kinds)), layout="constrained")
        axes = list(figure.subplots(len(kinds), 1, squeeze=False).flat)
        order = self.drawn.mean(0).argsort()
        for axis, (name, rates) in zip(axes, kinds.items(), strict=True):
            image = axis.imshow(
                rates[:, order].numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest"
            )
            axis.set_title(name, loc="left", fontsize="medium", fontweight="bold")
            axis.set_ylabel("step t")
            axis.set_yticks(range(len(rates)), [str(t + 1) for t in range(len(rates))])
        axes[-1].set_xlabel("latent neuron, sorted by its rate in drawn codes")
        figure.colorbar(image, ax=axes, label="rate of ones, 0 to 1")
        return figure

    def _kinds(self) -> dict[str, Tensor]:
        return ({} if self.encoded is None else {"codes of images": self.encoded}) | {"drawn codes": self.drawn}


def _summary(rates: Tensor) -> str:
    silent, full = ((rates == value).float().mean().item() for value in (0, 1))
    bits = -(torch.xlogy(rates, rates) + torch.xlogy(1 - rates, 1 - rates)).sum().item()
    return (
        f"mean rate {rates.mean():.3f}, {silent:.1%} of the bits never and {full:.1%} always one, "
        f"sum of the bits' entropies {bits:.0f} nats;"
    )


@torch.no_grad()
def latent_use(model: FSVAE, images: LabelledDataset | None, seed: int = 0, n: int = N) -> LatentUse:
    """The rates over n drawn codes, and over those of `some` n images, if there are any."""
    n = min(n, len(images)) if images else n
    with evaluated(model):
        drawn = model.latent.sample(noise_of(model, seed, 0, n)).mean(1).cpu()
    if images is None:
        return LatentUse(n, drawn, None)
    codes, _ = codes_of(model, some(images, n), seed).read(range(n))  # [N, T, L]
    return LatentUse(n, drawn, codes.float().mean(0))
