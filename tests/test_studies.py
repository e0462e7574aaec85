"""The tables of docs/ABLATE.md say what the results beside the studies hold."""

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from fsvae_tcja.commands.ablation.table import COLUMNS, rows_of

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "ABLATE.md").read_text()
TITLES = {column.title: key for key, column in COLUMNS.items()}


def table_of(study: str) -> list[dict[str, str]]:
    """The rows of the table that follows the link to a study, {head: cell}."""
    text = PAGE[PAGE.index(f"(studies/{study}.toml)") :]
    lines = text[text.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.mark.parametrize("study", ["systems", "tcja", "levers"])
def test_a_table_holds_the_means_and_deviations_of_all_seeds(study):
    settings = tomllib.loads((DOCS / "studies" / f"{study}.toml").read_text())
    results = [json.loads(file.read_text()) for file in (DOCS / "studies" / study).rglob("result.json")]
    assert len(results) == len(settings["settings"]) * len(settings["seeds"])
    rows, found = table_of(study), rows_of(SimpleNamespace(settings=settings["settings"]), results)
    assert [row["setting"] for row in rows] == [row.name for row in found]
    for row, (_, _, cells) in zip(rows, found, strict=True):
        for title in row.keys() - {"setting"}:
            key = TITLES[title]
            expected = cells[key].text(COLUMNS[key].digits, " ± ") if key in cells else ""
            assert row[title] == expected, (row["setting"], title)
