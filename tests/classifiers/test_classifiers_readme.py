"""The README's table says what the networks are."""

import re
from pathlib import Path

import pytest
import torch

import classifiers
from classifiers.description import PATTERNS
from classifiers.model import SpikingClassifier
from classifiers.presets import PRESETS
from fsvae_tcja.runtime.energy import FORMULA, NOTES

README = (Path(classifiers.__file__).parent / "README.md").read_text()


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_says_what_the_networks_are(name):
    config = PRESETS[name].config
    with torch.device("meta"):
        parameters = sum(p.numel() for p in SpikingClassifier(config.model).parameters())
    shape = "x".join(map(str, config.model.shape))
    row = f"| `{name}` | {shape}, {config.model.classes} classes | {config.model.T} | `{config.model.layers}` | "
    assert f"{row}{parameters:,} | {config.loss} |" in README


def test_the_energy_estimate_is_explained_where_its_notes_point():
    assert '"Energy estimate" in classifiers/README.md' in NOTES
    assert f"```\n{FORMULA}\n```" in README.partition("\n## Energy estimate\n")[2].partition("\n## ")[0]


def test_every_token_is_explained():
    for kind in PATTERNS:
        assert re.search(rf"`[^`]*{re.escape(kind)}[^`]*`", README), kind
