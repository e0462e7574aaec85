"""fsvae-tcja interpolate: images on the way from one code to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..data.names import short_name
from ..runtime.device import resolve
from ..runtime.pictures import save_grid
from ..utils.options import parse
from ..utils.outputs import check_out
from ..vae import load
from ..vae.interpolate import interpolate
from ..vae.sample import draw_codes
from .inputs import ImageOptions


@dataclass(frozen=True)
class InterpolateOptions(ImageOptions):
    """Draw images on the way from one code to another, a row for each pair."""

    between: Literal["drawn", "images"] = "drawn"
    """Ends of a row: two drawn codes, or the codes of two images."""
    n: int = 6
    """Rows."""
    steps: int = 9
    """Images in a row, both ends included."""
    out: Path = Path("interpolation.png")
    """The picture."""


def main(args: list[str]) -> int:
    """Write the picture."""
    options = parse(InterpolateOptions, "fsvae-tcja interpolate", args)
    check_out(options.out, ".png")
    if options.n < 1:
        raise ValueError(f"n must be >= 1, found {options.n}")
    if options.between == "drawn" and options.data is not None:
        raise ValueError("--data names images, and the ends are drawn codes: give --between images, or leave it out")
    model = load(options.checkpoint, resolve(options.device))
    if options.between == "drawn":
        z, ends = draw_codes(model, 2 * options.n, options.seed), "drawn codes"
    else:
        _, z = options.random_codes(model, 2 * options.n)
        ends = f"codes of images of {short_name(options.source)} {options.split}"
    rows = interpolate(model, z[:, 0::2], z[:, 1::2], options.steps)
    title = f"{options.steps} steps between {ends}, seed {options.seed}"
    save_grid(rows.flatten(0, 1), options.out, columns=options.steps, title=title)
    print(f"{title}: {options.out}")
    return 0
