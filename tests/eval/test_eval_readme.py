"""The README's block runs, and its table says what protocols.py says."""

import re
from pathlib import Path

import eval
from eval.protocols import PROTOCOLS

README = (Path(eval.__file__).parent / "README.md").read_text()


def test_the_block_to_paste_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.startswith("FAD ")


def test_every_score_of_every_protocol_is_in_the_table():
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    for protocol in PROTOCOLS.values():
        for recipe in protocol.recipes:
            (row,) = (r for r in rows if r.startswith(f"| `{protocol.name}`") and recipe.score in r.split("|")[1])
            assert recipe.precision in row and recipe.batch_norm.removesuffix("ing") in row
            for number in (recipe.n, recipe.batch, recipe.splits):
                assert number is None or f"{number:,}" in row, (recipe.score, number)
            assert recipe.reference_split is None or recipe.reference_split in row
