"""fsvae-tcja reconstruct: images through the latent and back."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..data.dataset import some
from ..data.names import short_name
from ..runtime.device import resolve
from ..runtime.pictures import save_pairs
from ..utils.options import BatchSize, Whole, parse
from ..utils.outputs import check_out
from ..utils.progress import progress
from ..vae import load
from ..vae.reconstruct import reconstruct
from .inputs import ImageOptions


@dataclass(frozen=True)
class ReconstructOptions(ImageOptions):
    """Reconstruct images of a data set or folder through the latent, and print the mean squared error."""

    out: Path = Path("reconstructions.png")
    """The picture: rows of originals above their reconstructions."""
    n: Whole = None
    """How many images; None: 32, or all if there are fewer. Of a published data set the first, else drawn by a fixed
    permutation."""
    batch_size: BatchSize = 64


def main(args: list[str]) -> int:
    """Draw originals above their reconstructions, and print the error."""
    options = parse(ReconstructOptions, "fsvae-tcja reconstruct", args)
    check_out(options.out, ".png")
    model = load(options.checkpoint, resolve(options.device))
    images = options.images(model)
    n = min(32, len(images)) if options.n is None else options.n
    images = some(images, n) if n > 0 else images
    pairs = []
    with progress("reconstruct", n, "images") as bar:
        for originals, reconstructions in reconstruct(model, images, n, options.seed, batch_size=options.batch_size):
            pairs.append((originals, reconstructions))
            bar.advance(len(originals))
    x, recon = (torch.cat(side) for side in zip(*pairs, strict=True))
    title = f"{short_name(options.source)} {images.split}, seed {options.seed}"
    save_pairs(x, recon, options.out, title=title)
    mse = torch.nn.functional.mse_loss(recon, x).item()
    print(f"reconstruction MSE {mse:.4f} (range [-1, 1], n = {n}, {options.source} {images.split}): {options.out}")
    return 0
