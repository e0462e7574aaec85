"""fsvae-tcja energy: what an image costs, drawn or reconstructed, and how the neurons fire."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.device import resolve
from ..utils.options import BatchSize, DataRoot, Device, Download, Whole, parse
from ..vae import load
from ..vae.energy import energy
from .inputs import data_of, images_for


@dataclass(frozen=True)
class EnergyOptions:
    """Energy and firing of a generative model, per image drawn and per image reconstructed, against the ANN VAE."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model."""
    data: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")] = None
    """Data set by name or a folder of images; by default the one that the model was trained on."""
    split: str = "test"
    """Split of the data set."""
    n: Whole = None
    """Images drawn, and reconstructed: the first of the split; None: 256, if there are as many."""
    seed: int = 0
    """Random seed of the latent."""
    json: bool = False
    """Print JSON."""
    batch_size: BatchSize = 64
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Print the report."""
    options = parse(EnergyOptions, "fsvae-tcja energy", args)
    model = load(options.checkpoint, resolve(options.device))
    data = data_of(options.checkpoint, options.data)
    images = images_for(model, data, options.split, options.data_root, options.download)
    n = min(256, len(images)) if options.n is None else options.n
    if images.channels != model.config.in_channels or not 1 <= n <= len(images):
        raise ValueError(
            f"the model takes {model.config.in_channels} channel(s), and n must be in 1..{len(images)}; found n = {n} "
            f"and {images.name} {options.split} of {images.channels} channel(s)"
        )
    pixels = torch.cat([to_float(x) for x, _ in batches(images, options.batch_size, order=torch.arange(n))])
    report = energy(model, pixels, seed=options.seed, batch_size=options.batch_size)
    print(json.dumps(report.plain(), indent=2) if options.json else report.text())
    return 0
