"""How often the neurons of each layer fire, and which never or always do."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..utils.tables import table

# Fractions of a layer's neurons above which there is a warning. Over the empty border of images neurons are rightly
# silent, and more of them the fewer inputs there are: networks that learned digits well had up to 0.79 dead ones in a
# layer over 16 inputs, 0.70 over 64, 0.61 over 360, and 0.004 saturated ones.
MANY_DEAD = 0.9
MANY_SATURATED = 0.05
NAMED = 4  # layers in a warning


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
        header, *rows = self.cells()
        return f"firing over {self.n:,} inputs of T = {self.T} steps\n" + table(header, rows)

    def cells(self) -> list[tuple[str, ...]]:
        """The header of the table, and a row per layer."""
        rows = [(x.name, f"{x.neurons:,}", f"{x.rate:.4f}", f"{x.dead:.1%}", f"{x.saturated:.1%}") for x in self.layers]
        return [("layer", "neurons", "spikes / neuron / step", "dead", "saturated"), *rows]

    def plain(self) -> dict[str, dict[str, float]]:
        """For JSON: what each layer does, by its name."""
        return {x.name: {"rate": x.rate, "dead": x.dead, "saturated": x.saturated} for x in self.layers}


class Spikes:
    """Spikes of each neuron of a layer [...], summed over steps and inputs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = torch.zeros((), dtype=torch.int64)

    def read(self, x: Tensor) -> None:
        """x [T, N, ...]; graded spikes count as spikes."""
        # Sums of floats, exact below 2^24, one step at a time: four times as fast as one sum of booleans.
        counts = torch.stack([(step != 0).float().sum(0) for step in x]).sum(0).long()
        self.counts = self.counts.to(x.device) + counts

    def layer(self, most: int) -> LayerFiring:
        """What was counted, where a neuron may have fired `most` times: T times the inputs."""
        neurons, counts = self.counts.numel(), self.counts
        silent, full = ((counts == number).sum().item() / neurons for number in (0, most))
        return LayerFiring(self.name, neurons, counts.sum().item() / (neurons * most), silent, full)


def warnings(found: Firing, dead: float = MANY_DEAD, saturated: float = MANY_SATURATED) -> list[str]:
    """A sentence for all layers of whose neurons a larger fraction never fires, and one for those at every step."""
    silent = [f"{x.dead:.0%} of the {x.neurons:,} of layer {x.name}" for x in found.layers if x.dead > dead]
    full = [
        f"{x.saturated:.0%} of the {x.neurons:,} of layer {x.name}" for x in found.layers if x.saturated > saturated
    ]
    sentences = []
    if silent:
        sentences.append(
            f"neurons that never fired over {found.n:,} inputs: {_some(silent)}. If the loss does not fall, lower the "
            "learning rate, and check that the inputs are neither empty nor scaled down"
        )
    if full:
        sentences.append(
            f"neurons that fired at every step of all {found.n:,} inputs, and tell nothing apart: {_some(full)}. Lower "
            "the learning rate, and check the range of the inputs"
        )
    return sentences


def _some(layers: list[str]) -> str:
    more = f" and {len(layers) - NAMED} layers more" if len(layers) > NAMED else ""
    return ", ".join(layers[:NAMED]) + more
