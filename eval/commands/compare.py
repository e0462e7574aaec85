"""fsvae-tcja eval compare: scores of two files side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from fsvae_tcja.utils.options import parse

from ..result import Score, load_scores, side_by_side
from .display import console


@dataclass(frozen=True)
class CompareOptions:
    """Compare the scores in two files, such as those of two generators."""

    a: Annotated[Path, tyro.conf.Positional]
    """A .json that `score` wrote."""
    b: Annotated[Path, tyro.conf.Positional]
    """Another."""


def main(args: list[str]) -> int:
    """Show both sides and their differences; raise ValueError for scores that cannot be compared."""
    options = parse(CompareOptions, "fsvae-tcja eval compare", args)
    table, refused = Table(), []
    for name in ("score", "protocol", "n", "A", "B", "B - A"):
        table.add_column(name)
    for a, b in side_by_side(load_scores(options.a), load_scores(options.b)):
        both = [score for score in (a, b) if score is not None]
        name, difference = both[0].name, ""
        if a and b:
            try:
                difference = f"{b - a:+.5g}"
            except ValueError as error:
                refused.append(f"{name}: {error}")
        n = ", ".join(dict.fromkeys(str(score.n) for score in both))
        table.add_row(name, both[0].protocol, n, _value(a), _value(b), difference)
    console().print(table)
    console().print(f"A: {options.a}\nB: {options.b}")
    if refused:
        raise ValueError("\n".join(refused))
    return 0


def _value(score: Score | None) -> str:
    return "" if score is None else f"{score.value:.5g}" + ("" if score.std is None else f" +/- {score.std:.3g}")
