"""fsvae-tcja energy: what an image costs, drawn or reconstructed, and how the neurons fire."""

import json
from dataclasses import dataclass

import torch

from ..data.dataset import limited
from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.device import resolve
from ..utils.options import BatchSize, Whole, parse
from ..vae import load
from ..vae.energy import energy
from ..vae.reconstruct import check_taken
from .inputs import ImageOptions


@dataclass(frozen=True)
class EnergyOptions(ImageOptions):
    """Energy and firing of a generative model, per image drawn and per image reconstructed, against the ANN VAE."""

    n: Whole = None
    """Images drawn, and reconstructed: those of the split that come first in one fixed permutation; None: 256, if there
    are as many."""
    json: bool = False
    """Print JSON."""
    batch_size: BatchSize = 64


def main(args: list[str]) -> int:
    """Print the report."""
    options = parse(EnergyOptions, "fsvae-tcja energy", args)
    model = load(options.checkpoint, resolve(options.device))
    images = options.images(model)
    n = min(256, len(images)) if options.n is None else options.n
    check_taken(model, images, n)
    pixels = torch.cat([to_float(x) for x, _ in batches(limited(images, n), options.batch_size)])
    report = energy(model, pixels, seed=options.seed, batch_size=options.batch_size)
    print(json.dumps(report.plain(), indent=2) if options.json else report.text())
    return 0
