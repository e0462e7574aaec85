"""The results of a study as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ...runtime.pictures import save_figure
from .study import Study
from .table import COLUMNS, Row, caption

SHOWN = ("FAD", "FAD recon", "mse", "energy")  # those that there are


def save_study(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Means as bars, seeds as points, a panel for each of SHOWN, of which less is better; a .png."""
    keys = [key for key in SHOWN if any(key in row.cells for row in rows)]
    figure = Figure((3 + 2.6 * len(keys), 1.5 + 0.35 * len(rows)), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0] if keys else []
    for axis, key in zip(axes, keys, strict=True):
        for place, row in enumerate(rows):
            if key in row.cells:
                cell = row.cells[key]
                axis.barh(place, cell.mean, color="tab:blue", alpha=0.6)
                axis.plot(cell.values, [place] * len(cell.values), "k.", markersize=5)
        axis.set_title(COLUMNS[key].title, fontsize="medium")
        axis.set_yticks(range(len(rows)), [row.name if row.seeds else f"{row.name} (not finished)" for row in rows])
        axis.spines[["top", "right"]].set_visible(False)
    if keys:
        axes[0].invert_yaxis()
    figure.suptitle(
        f"{caption(study, 'a bar for the mean, a point for each')} Lower is better.", fontsize="small", wrap=True
    )
    save_figure(figure, path)
