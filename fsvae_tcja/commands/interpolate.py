"""fsvae-tcja interpolate: images on the way from one code to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ..data.names import short_name
from ..data.pixels import to_float
from ..runtime.device import resolve
from ..runtime.pictures import save_grid
from ..utils.options import Whole, parse
from ..utils.outputs import check_out
from ..vae import load
from ..vae.interpolate import interpolate
from ..vae.sample import draw_codes
from .inputs import ImageOptions


@dataclass(frozen=True)
class InterpolateOptions(ImageOptions):
    """Draw images on the way from one code to another, a row for each pair; the codes of images stand between these."""

    between: Literal["drawn", "images"] = "drawn"
    """Ends of a row: two drawn codes, or the codes of two images."""
    n: Whole = None
    """Rows; None: 6, or as many as there are pairs of images."""
    steps: int = 9
    """Images in a row, both ends included."""
    out: Path = Path("interpolation.png")
    """The picture."""


def main(args: list[str]) -> int:
    """Write the picture."""
    options = parse(InterpolateOptions, "fsvae-tcja interpolate", args)
    check_out(options.out, ".png")
    n = 6 if options.n is None else options.n
    if n < 1:
        raise ValueError(f"n must be >= 1, found {n}")
    if options.between == "drawn" and options.data is not None:
        raise ValueError("--data names images, and the ends are drawn codes: give --between images, or leave it out")
    model = load(options.checkpoint, resolve(options.device))
    if options.between == "drawn":
        z, ends = draw_codes(model, 2 * n, options.seed), None
        title = f"{options.steps} steps between drawn codes, seed {options.seed}"
    else:
        images = options.images(model)
        if options.n is None:
            n = max(1, min(n, len(images) // 2))
        chosen, z = options.random_codes(model, 2 * n, images)
        ends = to_float(chosen.read(range(len(chosen)))[0]).unsqueeze(1)
        title = (
            f"left and right an image of {short_name(options.source)} {options.split}, {options.steps} steps between "
            f"their codes, seed {options.seed}"
        )
    rows = interpolate(model, z[:, 0::2], z[:, 1::2], options.steps).cpu()
    if ends is not None:
        rows = torch.cat([ends[0::2], rows, ends[1::2]], dim=1)
    save_grid(rows.flatten(0, 1), options.out, columns=rows.shape[1], title=title)
    print(f"{title}: {options.out}")
    return 0
