"""fsvae-tcja complete: images whose codes begin as that of a given one."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..data.names import short_name
from ..data.pixels import to_float
from ..runtime.device import resolve
from ..runtime.pictures import save_grid
from ..utils.options import Whole, parse
from ..utils.outputs import check_out
from ..vae import load
from ..vae.complete import complete
from .inputs import ImageOptions


@dataclass(frozen=True)
class CompleteOptions(ImageOptions):
    """Keep the first part of the codes of images and draw the rest, with a model of the latent Escape: a row for each
    image, the original first."""

    given: Whole = None
    """Micro-steps that are kept, of T x groups, with Hierarchical those of the base and of the details; None: half of
    them."""
    n: int = 6
    """Rows: images, drawn at random from the split."""
    draws: int = 8
    """Draws of the rest of each code."""
    out: Path = Path("completions.png")
    """The picture."""


def main(args: list[str]) -> int:
    """Write the picture."""
    options = parse(CompleteOptions, "fsvae-tcja complete", args)
    check_out(options.out, ".png")
    model = load(options.checkpoint, resolve(options.device))
    steps = model.latent.micro_steps
    given = steps // 2 if options.given is None else options.given
    chosen, z = options.random_codes(model, options.n)
    drawn = complete(model, z, given, options.draws, options.seed).cpu()
    originals = to_float(chosen.read(range(len(chosen)))[0]).unsqueeze(1)
    rows = torch.cat([originals, drawn], dim=1)
    title = (
        f"left an image of {short_name(options.source)} {options.split}, then {options.draws} draws that keep {given} "
        f"of {steps} micro-steps of its code, seed {options.seed}"
    )
    save_grid(rows.flatten(0, 1), options.out, columns=options.draws + 1, title=title)
    print(f"{title}: {options.out}")
    return 0
