"""What an image costs in arithmetic, drawn or reconstructed, and how the neurons fire meanwhile.

Counted as runtime/energy.py says: a spike costs an accumulate for each weight it meets, an analog input (the image,
gated spikes, the code of the ANN VAE) a multiply-accumulate for each weight at every step. The read-out is counted as a
neuron that does not fire: its convolution at every step, and one multiply-accumulate a pixel and step. The posterior
and the prior of the Bernoulli latent are counted once a step, as one that steps through time needs it. Not counted,
besides: random numbers, and the mean over time of the Poisson latent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import LeakyReLU
from ..runtime.energy import AC_PJ, MAC_PJ, Energy, Tally, microjoules
from ..runtime.firing import Firing, LayerFiring, Spikes, warnings
from ..runtime.modes import evaluated
from .activity import Passing
from .config import FSVAEConfig, TCJAConfig
from .latent import Gaussian
from .model import FSVAE
from .readout import READOUTS
from .sample import noise_of

MANY_SATURATED = 0.9  # neurons that see the same background in all images rightly do the same in all

NOTES = f"""\
an estimate of arithmetic only: {MAC_PJ} pJ a MAC, {AC_PJ} pJ an AC, 32-bit floats at 45 nm (Horowitz, ISSCC 2014);
a spike costs an AC for each weight it meets, an analog input (the image, gated spikes) a MAC for each;
columns ANN: the same weights used once; the ANN VAE has no networks of the latent"""


@dataclass(frozen=True)
class EnergyReport:
    """Energy and firing of a generative model, per image."""

    drawn: Energy
    """An image from the prior."""
    reconstructed: Energy
    """An image through the latent and back."""
    ann_drawn: Energy
    """The same of an ANN VAE with the same layers: batch norm, LeakyReLU, a Gaussian latent, no time."""
    ann_reconstructed: Energy
    drawing: Firing
    """Over the images drawn."""
    reconstructing: Firing
    """Over the images reconstructed."""

    @property
    def rate(self) -> float:
        """Spikes per neuron and step of all neurons at work in drawing."""
        neurons = sum(layer.neurons for layer in self.drawing.layers)
        return sum(layer.rate * layer.neurons for layer in self.drawing.layers) / max(1, neurons)

    def warnings(self) -> list[str]:
        """A sentence for the layers with many dead neurons, and one for those with saturated ones."""
        found = replace(
            self.reconstructing,
            layers=(*self.reconstructing.layers, *(x for x in self.drawing.layers if x.name.startswith("prior"))),
        )
        return warnings(found, saturated=MANY_SATURATED)

    def ways(self) -> Iterator[tuple[str, Energy, Energy, Firing]]:
        """An image drawn, and one reconstructed: its energy, that of the ANN VAE, and the firing meanwhile."""
        yield "drawn", self.drawn, self.ann_drawn, self.drawing
        yield "reconstructed", self.reconstructed, self.ann_reconstructed, self.reconstructing

    def text(self) -> str:
        """Totals, what they stand for, and a table for each way."""
        parts = [NOTES]
        for verb, snn, ann, fired in self.ways():
            total = (
                f"energy per {verb} image: {microjoules(snn.pj)} uJ; "
                f"{microjoules(snn.sparse_pj)} uJ if zeros of analog inputs cost nothing"
            )
            other = f"the ANN VAE with these layers: {microjoules(ann.pj)} uJ, {ann.pj / snn.pj:.3g} times as much"
            synops = f"{snn.synops:,.0f} synaptic operations (T = {snn.T}, mean over {snn.n:,})"
            parts += ["\n".join([total, other, synops]), snn.table(), fired.table()]
        return "\n\n".join([*parts, *self.warnings()])

    def plain(self) -> dict[str, object]:
        """For JSON: totals in pJ, and the firing of each layer."""
        energies = {
            name: {"pj": e.pj, "pj_if_zeros_are_free": e.sparse_pj, "synops": e.synops, "n": e.n, "T": e.T}
            for name, e in vars(self).items()
            if isinstance(e, Energy)
        }
        fired = {name: f.plain() for name, f in vars(self).items() if isinstance(f, Firing)}
        return energies | {"rate": self.rate, "firing": fired}


def energy(model: FSVAE, images: Tensor, *, seed: int = 0, batch_size: int = 64) -> EnergyReport:
    """Energy and firing over images reconstructed and as many drawn, in eval mode.

    Args:
        model: it is left as it was.
        images: [N, C, H, W] in [-1, 1], or frames [T, N, C, H, W], as the model takes them.
        seed: random seed of both.
        batch_size: images per pass.

    Raises:
        ValueError: no image.
    """
    n = images.shape[-4]
    if n == 0:
        raise ValueError("no images: expected at least one")
    batches = [(first, min(batch_size, n - first)) for first in range(0, n, batch_size)]
    device = next(model.parameters()).device

    def drawn() -> Iterator[Iterator[Passing]]:
        for first, count in batches:
            yield draw(model, noise_of(model, seed, first, count))

    def reconstructed() -> Iterator[Iterator[Passing]]:
        for first, count in batches:
            x = images[..., first : first + count, :, :, :].to(device)
            yield reconstruct(model, x, noise_of(model, seed, first, count))

    with torch.random.fork_rng(devices=()):  # random weights, that take no number of the program's
        ann = FSVAE(ann_of(model.config)).eval()
    image = torch.zeros(1, model.config.in_channels, model.config.image_size, model.config.image_size)
    noise = noise_of(ann, 0, 0, 1)
    found = [_look(model, passes, n) for passes in (drawn(), reconstructed())]
    base, rebase = (_look(ann, [passes], 1)[0] for passes in (draw(ann, noise), reconstruct(ann, image, noise)))
    (one, fired), (other, refired) = found
    return EnergyReport(one, other, base, rebase, fired, refired)


def ann_of(config: FSVAEConfig) -> FSVAEConfig:
    """The ANN VAE with the layers of a configuration."""
    readout, neuron = READOUTS["membrane"], LeakyReLU()
    return replace(config, T=1, latent=Gaussian(), neuron=neuron, readout=readout, tcja=TCJAConfig())


def draw(model: FSVAE, noise: Tensor) -> Iterator[Passing]:
    """The work of drawing images of this noise."""
    z = model.latent.sample(noise)
    yield from model.latent.passing(None, z, noise)
    yield from model.decoder.passing(z, not model.config.latent.analog)


def reconstruct(model: FSVAE, images: Tensor, noise: Tensor) -> Iterator[Passing]:
    """The work of reconstructing images with this noise."""
    x = model.encoder(images)
    z, _ = model.latent.infer(x, noise)
    yield from model.encoder.passing(images, z)
    yield from model.latent.passing(x, z, noise)
    yield from model.decoder.passing(z, not model.config.latent.analog)


def _look(model: FSVAE, batches: Iterable[Iterable[Passing]], n: int) -> tuple[Energy, Firing]:
    tallies: dict[str, tuple[Tally, int]] = {}
    spikes: dict[str, Spikes] = {}
    with evaluated(model):
        for passes in batches:
            for one in passes:
                if one.name not in tallies:
                    spiking = model.config.neuron.spiking
                    tally = Tally(one.name, one.weights, one.attention, binary=one.binary, neurons=spiking)
                    tallies[one.name] = tally, one.steps
                tally, _ = tallies[one.name]
                tally.read_inputs(one.x.flatten(0, 1))
                tally.neurons = one.neurons
                if one.spikes is not None:
                    spikes.setdefault(one.name, Spikes(one.name)).read(one.spikes)
    rows = [replace(row, steps=steps) for tally, steps in tallies.values() for row in tally.rows(steps)]
    layers: list[LayerFiring] = [found.layer(tallies[name][1] * n) for name, found in spikes.items()]
    return Energy(n, model.config.T, tuple(rows)), Firing(n, model.config.T, tuple(layers))
