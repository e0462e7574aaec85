"""The results of a study side by side: means and spreads over seeds, as Markdown, LaTeX and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any, NamedTuple

from .study import Study


class Column(NamedTuple):
    """A figure of a run."""

    title: str
    digits: int = 3
    """Significant ones."""


COLUMNS = {
    "loss": Column("loss"),
    "nats": Column("code, nats", 4),
    "mse": Column("MSE"),
    "FAD": Column("FAD"),
    "FAD recon": Column("FAD of reconstructions"),
    "FAD floor": Column("FAD of real images"),
    "Domain-IS": Column("Domain-IS"),
    "sure": Column("Domain-sure"),
    "rate": Column("firing rate"),
    "energy": Column("uJ an image drawn"),
    "parameters": Column("parameters", 7),
    "steps": Column("steps", 7),
    "seconds": Column("s", 7),
}


@dataclass(frozen=True)
class Cell:
    """A figure over the seeds that are done."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation, of two seeds or more."""
        return stdev(self.values) if len(self.values) > 1 else None

    def text(self, digits: int, between: str) -> str:
        spread = "" if self.spread is None else f"{between}{self.spread:.2g}"
        return f"{self.mean:,.{digits}g}{spread}" if digits < 7 else f"{self.mean:,.0f}"


class Row(NamedTuple):
    """A setting."""

    name: str
    seeds: int
    """How many are done."""
    cells: dict[str, Cell]


def rows_of(study: Study, results: Sequence[dict[str, Any]]) -> list[Row]:
    """A row for each setting, in the order of the study."""
    found = []
    for name in study.settings:
        done = [result["figures"] for result in results if result["setting"] == name]
        cells = {key: Cell(tuple(f[key] for f in done)) for key in COLUMNS if done and all(key in f for f in done)}
        found.append(Row(name, len(done), cells))
    return found


def _grid(study: Study, rows: Sequence[Row], between: str) -> list[list[str]]:
    """The head, then a line for each row; a column that nobody has is left out."""
    used = [key for key in COLUMNS if any(key in row.cells for row in rows)]
    head = ["setting", "seeds", *(COLUMNS[key].title for key in used)]
    lines = [
        [
            row.name,
            f"{row.seeds} of {len(study.seeds)}",
            *(row.cells[key].text(COLUMNS[key].digits, between) if key in row.cells else "" for key in used),
        ]
        for row in rows
    ]
    return [head, *lines]


def caption(study: Study, shown: str = "mean and standard deviation") -> str:
    """What the figures are, and what is shown of those of several seeds."""
    several = len(study.seeds) > 1
    seeds = f"seed{'s' * several} {', '.join(map(str, study.seeds))}" + f", {shown}" * several
    budget = f"{study.steps:,} steps" if study.steps else f"{study.seconds:g} s"
    return (
        f"{study.title or 'Study'}: {budget} each, {seeds}; "
        f"MSE and scores (protocol strict) of the test split, n = {study.n:,}."
    )


def markdown(study: Study, rows: Sequence[Row]) -> str:
    head, *lines = _grid(study, rows, " ± ")
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join([caption(study), "", *("| " + " | ".join(line) + " |" for line in cells)]) + "\n"


def latex(study: Study, rows: Sequence[Row]) -> str:
    """A tabular with the rules of booktabs."""
    head, *lines = [[_escaped(cell) for cell in line] for line in _grid(study, rows, " $\\pm$ ")]
    columns = "l" + "r" * (len(head) - 1)
    body = [" & ".join(line) + r" \\" for line in lines]
    return "\n".join(
        [
            f"% {caption(study)}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    for sign in "&%#_":
        text = text.replace(sign, f"\\{sign}")
    return text


def plain(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """For JSON: every value of every seed."""
    settings = {row.name: {key: list(cell.values) for key, cell in row.cells.items()} for row in rows}
    return {"caption": caption(study), "seeds": list(study.seeds), "settings": settings}
