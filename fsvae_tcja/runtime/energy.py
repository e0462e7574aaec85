"""What a spiking network costs in arithmetic, against the same network as an ANN. An estimate: FORMULA says of what."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, prod

from torch import Tensor

from ..core import TCJA
from ..core.operations import Weights, attention_operations, fan_out
from ..utils.tables import table

MAC_PJ, AC_PJ = 4.6, 0.9  # 32-bit float at 45 nm: multiplication 3.7 pJ + addition 0.9 pJ (Horowitz, ISSCC 2014)

FORMULA = f"""\
E = {MAC_PJ} pJ x MAC + {AC_PJ} pJ x AC, the cost of 32-bit floats at 45 nm (Horowitz, ISSCC 2014)
binary inputs   spikes, max-pooled or not, that no gate has weighted: AC = spikes x fan-out. Fan-out: weights that a
                value meets, fewer at the borders
analog inputs   the network's input, images or event counts, and gated spikes (TCJA on the spikes), averages, currents:
                MAC = values x fan-out, zeros included, at each of T steps, since hardware that multiplies runs such a
                layer densely. That is an upper bound where many values are 0, as event counts and gated spikes are: "if
                zeros cost nothing" is the lower bound
which of them   is decided by the network's structure, not by the values that happened to arrive
static images   arrive at every step, so the first layer counts T times, though this program computes it once
neurons         1 MAC per neuron and step, decay x membrane + current; the gain is folded into the threshold
TCJA            per value 1 AC to squeeze and 1 MAC to gate; the MACs of its convolutions along time and channels; per
                channel and step 1 MAC (a sum: 1 AC) to join the two and 1 MAC for the sigmoid
ANN             every layer with weights once: MAC = values x fan-out; no steps, neurons or attention
not counted     memory traffic, biases, pooling, residual sums, comparisons, resets and votes, on either side; the batch
                norm is folded into the convolution"""

NOTES = f"""\
an estimate, of arithmetic only: {MAC_PJ} pJ a MAC, {AC_PJ} pJ an AC, 32-bit floats at 45 nm (Horowitz, ISSCC 2014)
a spike costs an AC for each weight it meets; an analog input a MAC for each, at every step, zeros included
all of it: "Energy estimate" in classifiers/README.md, and evaluation.json"""


@dataclass(frozen=True)
class LayerEnergy:
    """Operations of a layer's weights, neurons or attention, per inference."""

    name: str
    """Layer, such as "3 128C", "3 128C neurons" or "3 128C TCJA"."""
    inputs: str
    """What its weights were fed with, "binary" or "analog", see FORMULA; empty for neurons and attention."""
    dense: int
    """MACs of the same weights in an ANN: input values x fan-out; 0 for neurons and attention."""
    events: float
    """Input values other than 0 x fan-out, over T steps, mean of the inputs; 0 for neurons and attention."""
    macs: float
    """Multiply-accumulates."""
    acs: float
    """Accumulates."""
    steps: int = 0
    """How often it works in an inference; 0: T times."""

    @property
    def pj(self) -> float:
        """Energy in pJ."""
        return MAC_PJ * self.macs + AC_PJ * self.acs

    @property
    def sparse_pj(self) -> float:
        """Energy in pJ if zeros among analog inputs cost nothing."""
        return MAC_PJ * self.events if self.inputs == "analog" else self.pj

    @property
    def ann_pj(self) -> float:
        """Energy in pJ of the same layer in an ANN."""
        return MAC_PJ * self.dense


@dataclass(frozen=True)
class Energy:
    """Energy of an inference, mean of n inputs of T steps."""

    n: int
    T: int
    layers: tuple[LayerEnergy, ...]

    @property
    def pj(self) -> float:
        """Energy of an inference in pJ."""
        return sum(layer.pj for layer in self.layers)

    @property
    def sparse_pj(self) -> float:
        """Energy in pJ if zeros among analog inputs cost nothing."""
        return sum(layer.sparse_pj for layer in self.layers)

    @property
    def ann_pj(self) -> float:
        """Energy in pJ of the same network as an ANN."""
        return sum(layer.ann_pj for layer in self.layers)

    @property
    def synops(self) -> float:
        """Synaptic operations of an inference: input values other than 0 x fan-out."""
        return sum(layer.events for layer in self.layers)

    @property
    def ratio(self) -> float:
        """How many times the energy of this network the ANN takes."""
        return _divide(self.ann_pj, self.pj)

    def text(self) -> str:
        """The totals first, then what they stand for in short, then the layers."""
        lines = (
            f"energy per inference: SNN {microjoules(self.pj)} uJ, same network as an ANN "
            f"{microjoules(self.ann_pj)} uJ: ANN / SNN = {self.ratio:.3g} (T = {self.T}, mean over {self.n:,})",
            f"if zeros cost nothing among analog inputs: SNN {microjoules(self.sparse_pj)} uJ, "
            f"ANN / SNN = {_divide(self.ann_pj, self.sparse_pj):.3g}",
            NOTES,
        )
        return "\n".join(lines) + f"\n\n{self.table()}"

    def table(self) -> str:
        """A line per layer, and totals."""
        header, *rows = self.cells()
        return table(header, rows)

    def cells(self) -> list[tuple[str, ...]]:
        """The header of the table, a row per layer, and totals."""
        macs, acs, dense = (sum(getattr(layer, name) for layer in self.layers) for name in ("macs", "acs", "dense"))
        total = ("total", "", "", f"{macs:,.0f}", f"{acs:,.0f}", _nj(self.pj), f"{dense:,}", _nj(self.ann_pj))
        header = ("layer", "inputs", "active", "MAC", "AC", "nJ", "ANN MAC", "ANN nJ")
        return [header, *map(self._row, self.layers), total]

    def _row(self, layer: LayerEnergy) -> tuple[str, ...]:
        counts = f"{layer.macs:,.0f}", f"{layer.acs:,.0f}", _nj(layer.pj)
        if not layer.dense:
            return (layer.name, "", "", *counts, "", "")
        share = f"{layer.events / ((layer.steps or self.T) * layer.dense):.1%}"
        return (layer.name, layer.inputs, share, *counts, f"{layer.dense:,}", _nj(layer.ann_pj))


def _nj(pj: float) -> str:
    return f"{pj / 1000:,.1f}"


def microjoules(pj: float) -> str:
    """Energy in pJ as text in uJ, with three digits."""
    uj = pj / 1e6
    return f"{uj:,.0f}" if uj >= 100 else f"{uj:.3g}"


def _divide(a: float, b: float) -> float:
    return a / b if b else inf


class Tally:
    """What enters the weights of a layer, summed over inputs and steps, and how many neurons are behind them.

    Args:
        name: of the layer.
        weights: None: there are none. A tensor is the fan-out of one input, [features].
        attention: TCJA, or None.
        binary: whether the weights are fed with 0 and 1 only, whatever the input.
        neurons: whether what is behind the weights, if something is, keeps a membrane.
    """

    def __init__(
        self,
        name: str,
        weights: Weights | Tensor | None = None,
        attention: TCJA | None = None,
        *,
        binary: bool = False,
        neurons: bool = True,
    ) -> None:
        self.name = name
        self.weights = weights
        self.attention = attention
        self.binary = binary
        self.with_membranes = neurons
        self.samples = 0
        self.fan_out: Tensor | None = None  # [C, H, W] or [features]
        self.events = 0
        self.neurons = 0

    def read_inputs(self, x: Tensor) -> None:
        """x [T*N, C, H, W] or [T*N, features]; a static input comes once, [N, C, H, W]."""
        assert self.weights is not None
        if self.fan_out is None:
            given = self.weights
            self.fan_out = (given if isinstance(given, Tensor) else fan_out(given, x.shape[1:])).to(x.device)
        self.samples += len(x)
        self.events += int(((x != 0).sum(0) * self.fan_out).sum())
        assert not self.binary or ((x == 0) | (x == 1)).all(), f"{self.name} was fed with more than 0 and 1"

    def read_spikes(self, x: Tensor) -> None:
        """x [T, N, ...]."""
        self.neurons = prod(x.shape[2:])

    def rows(self, T: int) -> Iterator[LayerEnergy]:
        """The rows of the table, for a sequence of T steps."""
        if self.weights is not None:
            yield self._of_weights(T)
        if self.neurons and self.with_membranes:
            yield LayerEnergy(f"{self.name} neurons", "", 0, 0, T * self.neurons, 0)
        if self.attention is not None:
            macs, acs = attention_operations(self.attention, self.neurons)
            yield LayerEnergy(f"{self.name} TCJA", "", 0, 0, macs, acs)

    def _of_weights(self, T: int) -> LayerEnergy:
        assert self.fan_out is not None, "rows are asked for before anything was read"
        dense = int(self.fan_out.sum())
        events = T * self.events / self.samples  # so a static input counts at each step
        if self.binary:
            return LayerEnergy(self.name, "binary", dense, events, 0, events)
        return LayerEnergy(self.name, "analog", dense, events, T * dense, 0)
