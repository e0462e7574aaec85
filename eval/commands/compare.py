"""fsvae-tcja eval compare: scores of several files side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from fsvae_tcja.utils.options import parse

from ..result import Score, load_scores, side_by_side
from .display import UNKNOWN, console

HASH = 12  # hex digits of a record that a row shows
LATEX = str.maketrans(
    {character: rf"\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)
"""What LaTeX's own characters become."""


@dataclass(frozen=True)
class CompareOptions:
    """Compare the scores in files, such as those of several generators, with those in the first."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Two or more .json that `score` wrote."""
    format: Literal["table", "markdown", "latex"] = "table"
    """Rows for a page: each with the hash of its record; notes as a list, or as comments of LaTeX."""


def main(args: list[str]) -> int:
    """Show all sides and their differences; raise ValueError for scores that cannot be compared."""
    options = parse(CompareOptions, "fsvae-tcja eval compare", args)
    if len(options.files) < 2:
        raise ValueError(f"give two files of scores or more to compare, found {len(options.files)}")
    table = side_by_side([load_scores(file) for file in options.files])
    if not any(sum(score is not None for score in row) > 1 for row in table):
        raise ValueError(
            f"no two of {', '.join(map(str, options.files))} hold the same score: there is nothing to compare"
        )
    refused = [why for row in table for why in _refused(row)]
    if options.format == "table":
        _show(table, options.files)
    if refused:
        raise ValueError("\n".join(refused))
    if options.format != "table":
        print("\n".join(_rows(table, options.files, options.format)))
    return 0


def _refused(row: Sequence[Score | None]) -> list[str]:
    """Why the scores of a row cannot be compared with the first of them."""
    first, *others = [score for score in row if score is not None]
    reasons = []
    for other in others:
        try:
            other.check_comparable(first)
        except ValueError as error:
            reasons.append(f"{first.name}: {error}")
    return list(dict.fromkeys(reasons))


def _show(table: Sequence[Sequence[Score | None]], files: Sequence[Path]) -> None:
    names = [_letter(i) for i in range(len(files))]
    shown = Table()
    floors = any("real images" in score.beside for row in table for score in row if score)
    for name in (
        "score",
        "better",
        "protocol",
        "n",
        *["real images"] * floors,
        *names,
        *(f"{name} - A" for name in names[1:]),
    ):
        shown.add_column(name)
    for row in table:
        there = [score for score in row if score]
        one, n = there[0], ", ".join(dict.fromkeys(str(score.n) for score in there))
        differences = (_difference(row[0], other) for other in row[1:])
        floor = ", ".join(dict.fromkeys(map(_floor, there)))
        told = one.name, one.better or UNKNOWN, one.protocol, n
        shown.add_row(*told, *[floor] * floors, *map(_value, row), *differences)
    console().print(shown)
    console().print("\n".join(f"{name}: {file}" for name, file in zip(names, files, strict=True)))
    for whose, note in _notes(table, names):
        console().print(f"note, {whose}: {note}")


def _notes(table: Sequence[Sequence[Score | None]], names: Sequence[str]) -> list[tuple[str, str]]:
    """The notes of all scores, each once, after the files and scores that have it: "A (FAD, KID), B (FAD)"."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in table:
        for name, score in zip(names, row, strict=True):
            if score:
                for note in score.notes:
                    found.setdefault(" ".join(note.split()), {}).setdefault(name, []).append(score.name)
    return [
        (", ".join(f"{name} ({', '.join(dict.fromkeys(scores))})" for name, scores in whose.items()), note)
        for note, whose in found.items()
    ]


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"file {i + 1}"


def _value(score: Score | None) -> str:
    if score is None:
        return ""
    if score.doubt:
        return f"{score.mean:.5g} +/- {score.doubt.spread:.3g}"
    return f"{score.value:.5g}" + ("" if score.std is None else f" +/- {score.std:.3g}")


def _difference(a: Score | None, b: Score | None) -> str:
    if a is None or b is None:
        return ""
    try:
        value, width = a.difference(b)
    except ValueError:  # said below the table
        return ""
    return f"{value:+.5g}" if width is None else f"{value:+.5g} ({value - width:.4g} to {value + width:.4g})"


def _rows(table: Sequence[Sequence[Score | None]], files: Sequence[Path], form: str) -> list[str]:
    """A row for each score of each file, and their notes."""
    notes = [f"{whose}: {note}" for whose, note in _notes(table, _names(files))]
    head = ["file", "score", "better", "value", "real images", "protocol", "n", "record"]
    body = [
        [
            *(name, score.name, score.better or UNKNOWN, _value(score), _floor(score)),
            *(score.protocol, str(score.n), score.sha256[:HASH]),
        ]
        for row in table
        for name, score in zip(_names(files), row, strict=True)
        if score is not None
    ]
    if form == "markdown":
        cells = [[cell.replace("|", r"\|") for cell in line] for line in (head, ["---"] * len(head), *body)]
        rows = [f"| {' | '.join(line)} |" for line in cells]
        return [*rows, *[""] * bool(notes), *(f"- {note}" for note in notes)]
    return [*(" & ".join(map(_latex, line)) + r" \\" for line in (head, *body)), *(f"% {note}" for note in notes)]


def _names(files: Sequence[Path]) -> list[str]:
    """What rows call the files: their names, or the whole paths where two are called the same."""
    names = [file.stem for file in files]
    return names if len(set(names)) == len(names) else [str(file.with_suffix("")) for file in files]


def _floor(score: Score) -> str:
    return f"{score.beside['real images']['value']:.5g}" if "real images" in score.beside else UNKNOWN


def _latex(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return text.translate(LATEX).replace("+/-", r"$\pm$")
