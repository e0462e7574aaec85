"""PNG pictures of what a classifier does: confusion matrix, gates, firing. Every title says what is shown."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from fsvae_tcja.runtime.firing import Firing
from fsvae_tcja.runtime.pictures import save_figure

DPI = 120
WIDTH = 6.4  # inches, of gates and firing
NUMBERED = 20  # classes: the cells of a larger confusion matrix have no room for numbers
LETTER = 0.085  # inches, of a title's letters


def save_confusion(matrix: Tensor, path: str | Path, title: str, classes: Sequence[str] | None = None) -> None:
    """Draw a confusion matrix, coloured by the share of the true class, and the accuracy of each class beside it.

    Args:
        matrix: whole numbers [K, K], rows true, columns predicted.
        path: of the PNG file; missing folders are made.
        title: data set, split, n and accuracy.
        classes: names of the K classes; None numbers them from 0.

    Raises:
        ValueError: no square matrix of counts, nothing counted, another number of names, or a path not ending in .png.
    """
    counts = _counts(matrix)
    names = [str(i) for i in range(len(counts))] if classes is None else list(classes)
    if len(names) != len(counts):
        raise ValueError(f"expected a name for each of {len(counts)} classes, found {len(names)}")
    totals = counts.sum(1)
    shares = counts / totals.clip(1)[:, None]
    small = len(counts) <= NUMBERED
    cell, letters = (0.45, 8) if small else (0.14, 6)  # inches, points
    size = cell * max(len(counts), 8)
    figure = Figure((size + 3.2, size + 1.8), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, "Blues", norm=PowerNorm(0.5, 0, 1))  # the root shows rare errors
    bar = figure.colorbar(image, ax=axis, location="bottom", fraction=0.1, shrink=0.6, aspect=4 * size, pad=0.01)
    bar.set_label("share of the true class, on a root scale" + ("; numbers: inputs" if small else ""))
    if small:
        _write_counts(axis, counts, shares, letters)
    _label_classes(axis, names, letters, cell)
    _draw_accuracies(axis.inset_axes((1 + 0.2 / size, 0, 1.3 / size, 1), sharey=axis), shares, totals, letters)
    _save(figure, title, path)


def _counts(matrix: Tensor) -> np.ndarray:
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or matrix.is_floating_point():
        raise ValueError(f"a confusion matrix is [K, K] whole numbers, found {matrix.dtype} {list(matrix.shape)}")
    counts = matrix.cpu().numpy()
    if counts.sum() == 0 or counts.min() < 0:
        raise ValueError("a confusion matrix needs at least one input and no negative number")
    return counts


def _write_counts(axis: Axes, counts: np.ndarray, shares: np.ndarray, letters: float) -> None:
    for (true, predicted), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[true, predicted] > 0.4 else "black"
            axis.text(int(predicted), int(true), f"{count}", ha="center", va="center", color=color, fontsize=letters)


def _label_classes(axis: Axes, names: Sequence[str], letters: float, cell: float) -> None:
    fits = max(map(len, names)) * letters * 0.7 / 72 < cell  # inches
    places = range(len(names))
    axis.set_xticks(places, names, fontsize=letters, rotation=0 if fits else 90)
    axis.set_yticks(places, names, fontsize=letters)
    axis.tick_params(length=0)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")


def _draw_accuracies(axis: Axes, shares: np.ndarray, totals: np.ndarray, letters: float) -> None:
    places = np.arange(len(totals))
    axis.barh(places, shares.diagonal(), color="tab:blue", height=0.7)
    for place, accuracy, total in zip(places, shares.diagonal(), totals, strict=True):
        text = f"{accuracy:.1%}" if total else "no inputs"
        axis.text(1.05, float(place), text, va="center", fontsize=letters)
    axis.set_xlim(0, 1)
    axis.set_xticks((0, 1), ("0", "1"), fontsize=letters)
    axis.tick_params(axis="y", left=False, labelleft=False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("accuracy")


def save_gates(gates: Mapping[str, Tensor], path: str | Path, title: str) -> None:
    """Draw the gates of each TCJA, time down and channels across, all on the scale from 0 to 1, as every other picture.

    Args:
        gates: {layer: [T, C] in [0, 1]}, of one input or a mean, as `gates` and `mean_gates` give it.
        path: of the PNG file; missing folders are made.
        title: network, data set and input.

    Raises:
        ValueError: no gate, or a path that does not end in .png.
    """
    if not gates:
        raise ValueError("nothing to draw: this network has no TCJA (its attention is 'none', or no layer has one)")
    panels = {name: gate.detach().float().cpu().numpy() for name, gate in gates.items()}
    heights = [0.8 + 0.08 * len(gate) for gate in panels.values()]  # inches
    figure = Figure((WIDTH, sum(heights) + 0.6), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (name, gate) in zip(axes, panels.items(), strict=True):
        image = _draw_gate(axis, gate)
        told = f"mean {gate.mean():.2f}, from {gate.min():.2f} to {gate.max():.2f}"
        axis.set_title(f"layer {name}: {told}", loc="left", fontsize="medium")
    axes[-1].set_xlabel("channel")
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01).set_label("gate, 0 to 1", fontsize="small")
    _save(figure, title, path)


def _draw_gate(axis: Axes, gate: np.ndarray) -> AxesImage:
    steps, channels = gate.shape
    extent = (-0.5, channels - 0.5, steps + 0.5, 0.5)  # steps count from 1
    image = axis.imshow(gate, "viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
    axis.set_ylabel("step t")
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return image


def save_firing(firing: Firing, path: str | Path, title: str) -> None:
    """Draw the firing rate of each layer and its fractions of dead and saturated neurons as bars.

    Args:
        firing: what `firing` found.
        path: of the PNG file; missing folders are made.
        title: network, data set, split and n.

    Raises:
        ValueError: a network without neurons, or a path that does not end in .png.
    """
    layers = firing.layers
    if not layers:
        raise ValueError("nothing to draw: this network has no spiking layer")
    figure = Figure((WIDTH, 1.5 + 0.3 * len(layers)), dpi=DPI, layout="constrained")
    rates, ends = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(layers))
    rates.barh(places, [layer.rate for layer in layers], height=0.7)
    rates.set_yticks(places, [layer.name for layer in layers])
    rates.invert_yaxis()
    rates.xaxis.set_major_locator(MaxNLocator(3))
    rates.set_xlabel("spikes per neuron and step")
    dead, saturated = [layer.dead for layer in layers], [layer.saturated for layer in layers]
    ends.barh(places - 0.2, dead, height=0.35, color="0.75", edgecolor="black", label="dead: never fired")
    ends.barh(
        places + 0.2, saturated, height=0.35, color="black", edgecolor="black", label="saturated: fired at every step"
    )
    ends.set_xlim(0, 1)
    ends.xaxis.set_major_formatter(PercentFormatter(1))
    ends.set_xlabel("neurons")
    ends.tick_params(axis="y", left=False)
    ends.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize="small")
    for axis in (rates, ends):
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, title, path)


def _save(figure: Figure, title: str, path: str | Path) -> None:
    """Write the figure under its title, wrapped to its width."""
    figure.suptitle(textwrap.fill(title, int(figure.get_figwidth() / LETTER)), fontsize="medium", fontweight="bold")
    save_figure(figure, path)
