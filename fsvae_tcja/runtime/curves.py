"""Curves of a run's metrics."""

from collections.abc import Iterable, Mapping
from itertools import cycle
from math import ceil, isfinite
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from .pictures import save_figure

COLUMNS = 3  # at most
PANEL = (4.4, 3.0)  # inches
DENSE = 200  # points: a longer curve is drawn faintly under its running mean
GAP = 20  # times the distances before and after: there a line is broken, since nothing was measured between
LOG_SPAN = 10  # a positive quantity whose largest value is at least that many times its smallest gets a log axis
SPLITS = {"valid_": "validation", "test_": "test"}  # prefixes of quantities; without one: training
AXES = {"step": "iterations", "epoch": "epochs", "seconds": "s"}  # what grows with time: never drawn as a curve
STYLES = ("-", "--", ":", "-.")  # curves of one panel, told apart without colours
NOT_DRAWN = {*AXES, "lr", "images_per_second"}


def save_curves(
    metrics: Iterable[Mapping[str, object]],
    path: str | Path,
    x: str = "step",
    units: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Draw every quantity of `metrics` against `x` in a panel of its own, as a PNG.

    A quantity measured on the validation or test split ("test_mse") shares the panel of its name ("mse"), which is then
    the training's; a legend tells them apart.

    Args:
        metrics: rows {quantity: number}; a quantity need not be in every row, what is no finite number is passed over.
        path: of the PNG file; missing folders are made.
        x: the quantity along the horizontal axis.
        units: {quantity: label of its axis}.

    Raises:
        ValueError: no row holds `x` and another number, or the path does not end in .png.
    """
    panels = _panels(metrics, x)
    if not panels:
        raise ValueError(f"nothing to draw: no row of the metrics holds {x!r} and another number")
    rows = ceil(len(panels) / COLUMNS)
    columns = ceil(len(panels) / rows)
    figure, axes = _figure(rows, columns)
    for axis, (quantity, curves) in zip(axes, panels.items(), strict=False):
        _draw(axis, quantity, curves, x, units.get(quantity, quantity))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    save_figure(figure, path)


def curve_figures(
    metrics: Iterable[Mapping[str, object]], units: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Figure]:
    """The panels of `save_curves` over the steps, each as a figure of its own, by quantity; none if there is nothing to
    draw."""
    figures = {}
    for quantity, curves in _panels(metrics, "step").items():
        figures[quantity], (axis,) = _figure(1, 1)
        _draw(axis, quantity, curves, "step", units.get(quantity, quantity))
    return figures


def compared_figure(
    quantity: str,
    runs: Mapping[str, Iterable[Mapping[str, object]]],
    units: Mapping[str, str] = MappingProxyType({}),
) -> Figure | None:
    """One quantity of the metrics of several runs, by name, in one panel over the steps; None if no run has it."""
    panel = _split(quantity)[1]
    curves = {name: _panels(rows, "step").get(panel, {}).get(quantity) for name, rows in runs.items()}
    found = {name: points for name, points in curves.items() if points is not None}
    if not found:
        return None
    figure, (axis,) = _figure(1, 1)
    _draw(axis, " ".join(_split(quantity)), found, "step", units.get(panel, quantity))
    return figure


def _figure(rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    # A Figure without pyplot draws with Agg and leaves the backend that the user chose as it is.
    figure = Figure((PANEL[0] * columns, PANEL[1] * rows), dpi=120, layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _panels(metrics: Iterable[Mapping[str, object]], x: str) -> dict[str, dict[str, np.ndarray]]:
    """{quantity: {name of the curve: points [n, 2]}}, in the order of their first appearance."""
    panels: dict[str, dict[str, list]] = {}
    for row in metrics:
        numbers = {key: value for key, value in row.items() if isinstance(value, int | float) and isfinite(value)}
        for name, value in numbers.items():
            if x in numbers and name != x and name not in NOT_DRAWN:
                panel = panels.setdefault(_split(name)[1], {})
                panel.setdefault(name, []).append((numbers[x], value))
    return {key: {name: np.array(points, float) for name, points in panel.items()} for key, panel in panels.items()}


def _split(name: str) -> tuple[str, str]:
    """The split on which a quantity was measured, and its name there: "test_mse" -> ("test", "mse")."""
    for prefix, split in SPLITS.items():
        if name.startswith(prefix):
            return split, name.removeprefix(prefix)
    return "training", name


def _draw(axis: Axes, quantity: str, curves: dict[str, np.ndarray], x: str, label: str) -> None:
    for (name, points), style in zip(curves.items(), cycle(STYLES), strict=False):
        split, of = _split(name)
        legend, pieces = split if of == quantity else name, _pieces(points)
        if len(points) > DENSE:
            window = len(points) // 50
            means = _joined([_running_mean(piece, window) for piece in pieces])
            (line,) = axis.plot(*_joined(pieces).T, linewidth=0.8, alpha=0.4, label=f"{legend}, raw")
            axis.plot(*means.T, style, color=line.get_color(), label=f"{legend}, mean of {window}")
        else:
            axis.plot(*_joined(pieces).T, style, marker="." if len(points) < 30 else None, label=legend)
    values = np.concatenate([points[:, 1] for points in curves.values()])
    span = values.max() / values.min() if values.min() > 0 else 1
    if span >= LOG_SPAN:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 1000 else (1,)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        label = f"{label} (log scale)"
    axis.set_title(quantity.replace("_", " "), loc="left", fontsize="medium", fontweight="bold")
    if x in ("step", "epoch"):
        whole = MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True)  # of a short run too
        axis.xaxis.set_major_locator(whole)
    axis.set_xlabel(f"{x} ({AXES[x]})" if x in AXES else x)
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if len(axis.lines) > 1:
        axis.legend(frameon=False, fontsize="small")


def _pieces(points: np.ndarray) -> list[np.ndarray]:
    """A curve [n, 2] cut at its gaps: no point is alone but that of a curve of one."""
    distances = np.diff(points[:, 0])
    around = np.concatenate([[np.inf], distances, [np.inf]])  # at the ends there is no gap
    nearest = np.maximum(around[:-2], around[2:])
    return np.split(points, np.flatnonzero((distances > GAP * nearest) & (nearest > 0)) + 1)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Pieces [n, 2] with a row of NaN between them, over which no line is drawn."""
    between = np.full((1, 2), np.nan)
    return np.concatenate([row for piece in pieces for row in (between, piece)][1:])


def _running_mean(points: np.ndarray, window: int) -> np.ndarray:
    """Means over `window` successive points, over all where there are fewer: [n, 2] -> [max(n - window, 0) + 1, 2]."""
    window = min(window, len(points))
    sums = np.cumsum(np.vstack([np.zeros(2), points]), axis=0)
    return (sums[window:] - sums[:-window]) / window
