"""README.md of the model explains every latent and every read-out."""

import re
from pathlib import Path

import fsvae_tcja.vae
from fsvae_tcja.vae.latent import LATENTS
from fsvae_tcja.vae.readout import READOUTS

README = (Path(fsvae_tcja.vae.__file__).parent / "README.md").read_text()


def section(title: str) -> str:
    return README.partition(f". {title}\n")[2].partition("\n## ")[0]


def test_every_latent_is_explained():
    assert re.findall(r"^\*\*`(.*?)`\*\*", section("Latents"), re.MULTILINE) == list(LATENTS)


def test_every_readout_is_in_the_table():
    named = re.findall(r"^\| `(\w+)` \|", section("Read-outs"), re.MULTILINE)
    assert sorted(named) == sorted(READOUTS)
