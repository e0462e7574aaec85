"""How often the neurons of each layer fire, and which never or always do."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fsvae_tcja.utils.tables import table

from ..model import SpikingClassifier
from ..parts import observe, parts

# Fractions of a layer's neurons above which there is a warning. Over the empty border of images neurons are rightly
# silent, and more of them the fewer inputs there are: networks that learned digits well had up to 0.79 dead ones in a
# layer over 16 inputs, 0.70 over 64, 0.61 over 360, and 0.004 saturated ones.
MANY_DEAD = 0.9
MANY_SATURATED = 0.05


@dataclass(frozen=True)
class LayerFiring:
    """The neurons of one layer."""

    name: str
    """Number and description of the layer, such as "3 128C"."""
    neurons: int
    """How many there are."""
    rate: float
    """Spikes per neuron and step, in [0, 1]."""
    dead: float
    """Fraction that never fired."""
    saturated: float
    """Fraction that fired at every step of every input."""


@dataclass(frozen=True)
class Firing:
    """The neurons of all layers over n inputs of T steps."""

    n: int
    T: int
    layers: tuple[LayerFiring, ...]

    def table(self) -> str:
        """A line per layer."""
        rows = [(x.name, f"{x.neurons:,}", f"{x.rate:.4f}", f"{x.dead:.1%}", f"{x.saturated:.1%}") for x in self.layers]
        return f"firing over {self.n:,} inputs of T = {self.T} steps\n" + table(
            ("layer", "neurons", "spikes / neuron / step", "dead", "saturated"), rows
        )


class _Spikes:
    """Spikes of each neuron [...], summed over steps and inputs."""

    def __init__(self) -> None:
        self.counts = torch.zeros((), dtype=torch.int64)

    def read(self, x: Tensor) -> None:
        """x [T, N, ...]; graded spikes count as spikes."""
        # Sums of floats, exact below 2^24, one step at a time: four times as fast as one sum of booleans.
        counts = torch.stack([(step != 0).float().sum(0) for step in x]).sum(0).long()
        self.counts = self.counts.to(x.device) + counts


def firing(model: SpikingClassifier, inputs: Iterable[Tensor]) -> Firing:
    """Firing of every spiking layer over batches of inputs, in eval mode.

    A neuron fired where what its layer gives is not 0: with TCJA on the spikes, spikes are graded.

    Args:
        model: the classifier; it is left as it was.
        inputs: batches, images [N, C, H, W] or sequences [T, N, C, H, W].

    Raises:
        ValueError: no input, images among sequences, or what the model refuses.
    """
    places = {part.name: part.spikes for part in parts(model) if part.spikes}
    spikes = {name: _Spikes() for name in places}
    n = observe(model, inputs, [(place, spikes[name].read) for name, place in places.items()])
    T = model.config.T
    layers = [_layer(name, found.counts, T * n) for name, found in spikes.items()]
    return Firing(n, T, tuple(layers))


def _layer(name: str, counts: Tensor, most: int) -> LayerFiring:
    neurons = counts.numel()
    rate = counts.sum().item() / (neurons * most)
    return LayerFiring(
        name, neurons, rate, (counts == 0).sum().item() / neurons, (counts == most).sum().item() / neurons
    )


def warnings(found: Firing) -> list[str]:
    """A sentence for each layer with more than MANY_DEAD or MANY_SATURATED of its neurons."""
    sentences = []
    for layer in found.layers:
        if layer.dead > MANY_DEAD:
            sentences.append(
                f"layer {layer.name}: {layer.dead:.0%} of {layer.neurons:,} neurons never fired over {found.n:,} "
                "inputs. If the loss does not fall, lower the learning rate, and check that the inputs are neither "
                "empty nor scaled down"
            )
        if layer.saturated > MANY_SATURATED:
            sentences.append(
                f"layer {layer.name}: {layer.saturated:.0%} of {layer.neurons:,} neurons fired at every step of all "
                f"{found.n:,} inputs and tell nothing apart. Lower the learning rate, and check the range of the inputs"
            )
    return sentences
