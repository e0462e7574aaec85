"""fsvae-tcja complete: images whose codes begin as that of a given one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..data.pixels import to_float
from ..runtime.device import resolve
from ..runtime.pictures import save_grid
from ..utils.options import DataRoot, Device, Download, Whole, parse
from ..vae import load
from ..vae.complete import complete
from .inputs import data_of, images_for, random_codes


@dataclass(frozen=True)
class CompleteOptions:
    """Keep the first part of the codes of images and draw the rest: a row for each image, the original first."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model; of one with the latent Escape."""
    given: Whole = None
    """Micro-steps that are kept, of T x groups; None: half of them."""
    n: int = 6
    """Rows: images, drawn at random from the split."""
    draws: int = 8
    """Draws of the rest of each code."""
    seed: int = 0
    """Random seed of the draws, and of which images are taken."""
    data: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")] = None
    """Data set by name or a folder of images; by default the one that the model was trained on."""
    split: str = "test"
    """Split of the data set."""
    out: Path = Path("completions.png")
    """The picture."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Write the picture."""
    options = parse(CompleteOptions, "fsvae-tcja complete", args)
    model = load(options.checkpoint, resolve(options.device))
    data = data_of(options.checkpoint, options.data)
    images = images_for(model, data, options.split, options.data_root, options.download)
    chosen, z = random_codes(model, images, options.n, options.seed)
    steps = model.latent.micro_steps
    given = steps // 2 if options.given is None else options.given
    drawn = complete(model, z, given, options.draws, options.seed).cpu()
    originals = to_float(chosen.read(range(len(chosen)))[0]).unsqueeze(1)
    rows = torch.cat([originals, drawn], dim=1)
    title = f"{data} {options.split}, then {given} of {steps} micro-steps of its code kept, seed {options.seed}"
    save_grid(rows.flatten(0, 1), options.out, columns=options.draws + 1, title=title)
    print(f"{title}: {options.out}")
    return 0
