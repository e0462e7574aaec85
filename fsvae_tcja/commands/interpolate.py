"""fsvae-tcja interpolate: images on the way from one code to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..runtime.device import resolve
from ..runtime.pictures import save_grid
from ..utils.options import DataRoot, Device, Download, parse
from ..vae import load
from ..vae.interpolate import interpolate
from ..vae.sample import draw_codes
from .inputs import data_of, images_for, random_codes


@dataclass(frozen=True)
class InterpolateOptions:
    """Draw images on the way from one code to another, a row for each pair."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model."""
    between: Literal["drawn", "images"] = "drawn"
    """Ends of a row: two drawn codes, or the codes of two images."""
    n: int = 6
    """Rows."""
    steps: int = 9
    """Images in a row, both ends included."""
    seed: int = 0
    """Random seed of the drawn codes, or of which images are taken."""
    data: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")] = None
    """Images for --between images; by default of what the model was trained on."""
    split: str = "test"
    """Split of the data set."""
    out: Path = Path("interpolation.png")
    """The picture."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Write the picture."""
    options = parse(InterpolateOptions, "fsvae-tcja interpolate", args)
    if options.n < 1:
        raise ValueError(f"n must be >= 1, found {options.n}")
    model = load(options.checkpoint, resolve(options.device))
    if options.between == "drawn":
        z, ends = draw_codes(model, 2 * options.n, options.seed), "drawn codes"
    else:
        data = data_of(options.checkpoint, options.data)
        images = images_for(model, data, options.split, options.data_root, options.download)
        ends = f"codes of images of {data} {options.split}"
        _, z = random_codes(model, images, 2 * options.n, options.seed)
    rows = interpolate(model, z[:, 0::2], z[:, 1::2], options.steps)
    title = f"{options.steps} steps between {ends}, seed {options.seed}"
    save_grid(rows.flatten(0, 1), options.out, columns=options.steps, title=title)
    print(f"{title}: {options.out}")
    return 0
