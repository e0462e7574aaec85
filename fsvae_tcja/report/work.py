"""What an image costs, drawn or reconstructed, and how the neurons of each layer fire."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from ..data.dataset import limited
from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.energy import Energy, microjoules
from ..runtime.firing import Firing
from ..vae.energy import NOTES, EnergyReport, energy
from .page import WIDTH, Picture, Section, Table
from .run import Run

N = 64  # images drawn, and reconstructed
PARTS = ("neurons", "TCJA")  # what the rows of a layer end in, besides its weights
MARKERS = (("o", "black"), ("s", "none"))  # of images drawn and reconstructed, and their fill
GREYS = ("0.25", "0.6", "0.85")  # of weights, neurons and TCJA


def work(run: Run) -> list[Section]:
    """Energy and firing over the first images of the test split in one fixed permutation; a line if there are none."""
    if not run.images:
        return [Section("Energy and firing", [f"Not shown: {run.missing}"])]
    images = limited(run.images, min(N, len(run.images)))
    pixels = torch.cat([to_float(x) for x, _ in batches(images, N)])
    found = energy(run.model, pixels, seed=run.seed, batch_size=N)
    firing = run.model.config.neuron.spiking
    return [_energy(found), _firing(found)] if firing else [_energy(found)]


def _energy(found: EnergyReport) -> Section:
    header = (
        *("per image", "uJ", "uJ if zeros of analog inputs cost nothing", "synaptic operations"),
        *("ANN VAE, uJ", "ANN VAE / this"),
    )
    rows = [
        [
            verb,
            *(microjoules(pj) for pj in (snn.pj, snn.sparse_pj)),
            f"{snn.synops:,.0f}",
            microjoules(ann.pj),
            f"{ann.pj / snn.pj:.3g}",
        ]
        for verb, snn, ann, _ in found.ways()
    ]
    layers, notes = found.drawn.cells(), NOTES.replace("\n", " ")
    lines = [f"{notes[0].upper()}{notes[1:]}. Mean over {found.drawn.n:,} images, T = {found.drawn.T}."]
    lines.append("Active: the share of a layer's inputs that are not 0.")
    pictures = [
        Picture.of_figure(f"energy of each layer, per image {verb}", _bars(snn, verb)) for verb, snn, *_ in found.ways()
    ]
    tables = [Table(header, rows), Table(("drawn: layer", *layers[0][1:]), layers[1:])]
    return Section("Energy", lines, tables, pictures, wide=True)


def _firing(found: EnergyReport) -> Section:
    tables = [Table((f"{verb}: layer", *fired.cells()[0][1:]), fired.cells()[1:]) for verb, *_, fired in found.ways()]
    ways = [(verb, fired) for verb, *_, fired in found.ways()]
    picture = Picture.of_figure("firing rate of each layer", _rates(ways))
    line = "Dead: neurons that never fired; saturated: at every step of every image."
    return Section("Firing", [line, *found.warnings()], tables, [picture], wide=True)


def _bars(found: Energy, verb: str) -> Figure:
    """A bar for each layer: its weights, neurons and gates, one after the other."""
    costs: dict[str, dict[str, float]] = {}
    for row in found.layers:
        part = next((part for part in PARTS if row.name.endswith(f" {part}")), "weights")
        costs.setdefault(row.name.removesuffix(f" {part}"), {})[part] = row.pj / 1e6
    figure = Figure((WIDTH, 1.3 + 0.28 * len(costs)), layout="constrained")
    axis = figure.subplots()
    left = dict.fromkeys(costs, 0.0)
    for part, grey in zip(("weights", *PARTS), GREYS, strict=True):
        widths = [parts.get(part, 0.0) for parts in costs.values()]
        axis.barh(
            list(costs), widths, left=list(left.values()), color=grey, edgecolor="black", linewidth=0.4, label=part
        )
        left = {name: left[name] + width for name, width in zip(costs, widths, strict=True)}
    axis.invert_yaxis()
    axis.set_xlabel("uJ per image")
    axis.set_title(
        f"energy of an image {verb}: {microjoules(found.pj)} uJ", loc="left", fontsize="medium", fontweight="bold"
    )
    axis.legend(frameon=False, fontsize="small")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _rates(ways: Sequence[tuple[str, Firing]]) -> Figure:
    """The rates of all layers, those at work in reconstructing first."""
    names = list(dict.fromkeys(layer.name for _, fired in reversed(ways) for layer in fired.layers))
    figure = Figure((WIDTH, 1.3 + 0.28 * len(names)), layout="constrained")
    axis = figure.subplots()
    for (verb, fired), (marker, fill) in zip(ways, MARKERS, strict=True):
        rates = {layer.name: layer.rate for layer in fired.layers}
        there = [i for i, name in enumerate(names) if name in rates]
        axis.scatter(
            [rates[names[i]] for i in there], there, marker=marker, facecolor=fill, edgecolor="black", label=verb
        )
    axis.set_yticks(range(len(names)), names)
    axis.set_xlim(0, 1)
    axis.invert_yaxis()
    axis.set_xlabel("spikes per neuron and step, 0 to 1")
    axis.set_title("firing rate of each layer", loc="left", fontsize="medium", fontweight="bold")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize="small")
    axis.spines[["top", "right"]].set_visible(False)
    return figure
