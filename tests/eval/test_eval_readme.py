"""The README's blocks run, and its tables say what the tables of the program say."""

import math
import re
from pathlib import Path

import eval
from eval import MEASURES, NETWORKS, PROTOCOLS
from eval.measures import GaussianStatistics

README = (Path(eval.__file__).parent / "README.md").read_text()


def test_the_blocks_to_paste_run(capsys):
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, {})
    assert re.findall(r"^\w+ ", capsys.readouterr().out, re.MULTILINE) == ["FAD "]


def test_every_score_of_every_protocol_is_in_the_table():
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    for protocol in PROTOCOLS.values():
        for recipe in protocol.recipes:
            (row,) = (r for r in rows if r.startswith(f"| `{protocol.name}`") and recipe.score in r.split("|")[1])
            assert recipe.precision in row and recipe.batch_norm.removesuffix("ing") in row
            for number in (recipe.n, recipe.batch, recipe.splits):
                assert number is None or f"{number:,}" in row, (recipe.score, number)
            assert recipe.reference_split is None or recipe.reference_split in row


def test_every_score_by_name_alone_is_in_the_table():
    table = rows("| | scores | reference split |")
    for protocol in PROTOCOLS.values():
        for recipe in protocol.further:
            name, _, space = recipe.score.rpartition("-")
            (row,) = (r for r in table if r[0] == protocol.name and re.search(rf"\b{name}-", r[1]))
            assert f"-{space}" in row[1] and recipe.reference_split == row[2].split(",")[0]


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this header."""
    lines = README[README.index(header) :].splitlines()[2:]
    table = lines[: lines.index("")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


def test_every_measure_is_in_the_table():
    table = rows("| measure |")
    assert [name for name, *_ in table] == list(MEASURES)
    every = (recipe for protocol in PROTOCOLS.values() for recipe in (*protocol.recipes, *protocol.further))
    recipes = {recipe.measure: recipe for recipe in every}
    assert all(source and better and "," in span for _, _, source, span, better, *_ in table)
    for name, _, _, span, better, compares, stored, least in table:
        measure = MEASURES[name]
        assert better.startswith(measure.better) and measure.better
        assert {name: measure.bounds_of(name) for name in spans(span)} == spans(span)
        assert (compares == "yes") == measure.compares
        assert (stored == "yes") == (measure.collector is GaussianStatistics)
        splits = recipes[name].splits
        assert least == ("one per split" if splits else str(measure.least(recipes[name])))


def spans(cell: str) -> dict[str, tuple[float, float]]:
    """{value: its bounds}, "" where a measure has one: "density 0, -; coverage 0, 1"."""
    found = {}
    for part in cell.split("; "):
        if part == "an estimate may fall below 0":
            found[""] = (-math.inf, found[""][1])
        else:
            name, low, high = re.fullmatch(r"(?:(\w+) )?(\S+), (.+)", part).groups(default="")
            open_end = high in ("-", "number of classes")  # the classifier says how many
            found[name.capitalize()] = float(low), math.inf if open_end else float(high)
    return found


def test_every_network_is_in_the_table():
    table = rows("| network | option")
    assert [(name, option) for name, option, *_ in table] == [
        (name, network.option.replace("_", "-")) for name, network in NETWORKS.items()
    ]
    for (*_, file, variable), network in zip(table, NETWORKS.values(), strict=True):
        if network.published:
            assert file.split("`")[0] == network.weights.name and variable == network.weights.variable
