"""fsvae-tcja eval reference: statistics of reference images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.options import Whole, parse
from fsvae_tcja.utils.outputs import check_out
from fsvae_tcja.utils.processes import joined, own, rank

from ..evaluation import open_reference, write_references
from ..networks import Networks
from ..protocols import get_protocol
from ..reference import statistics_file
from ..sources import Source
from .display import console, image_bar, images_to_read
from .options import ImageOptions


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(ImageOptions):
    """Make statistics of reference images, for the Frechet distances of a protocol."""

    images: Annotated[str, tyro.conf.Positional]
    """A data set, a folder, an .npz or .npy."""
    out: Path
    """Folder for the statistics, one file per score."""
    scores: tuple[str, ...] = ("FAD",)
    """For which scores."""
    floors: tuple[int, ...] = ()
    """Numbers of real images, of the data set's other split, whose scores are kept with the statistics: what a score of
    as many images is shown beside."""
    n_images: Whole = None
    """Images to use, drawn by a fixed permutation; None: all. A checkpoint has to be told."""


def main(args: list[str]) -> int:
    """Make statistics and write them; started by torchrun the processes share the work, and the first one writes."""
    with joined():
        options = parse(ReferenceOptions, "fsvae-tcja eval reference", args)
        protocol, networks = get_protocol(options.protocol), Networks(**vars(options.networks))
        for name in options.scores if rank() == 0 else ():
            check_out(statistics_file(options.out, protocol.name, name), ".safetensors")
        device = own(resolve(options.device))
        with once_per_machine():
            images = open_reference(options.images, protocol, value_range=options.value_range, **options.where)
        total = options.n_images or (images.n if isinstance(images, Source) else None)
        with image_bar(images_to_read(total, None)) as advance:
            keywords = {
                "networks": networks,
                "n": options.n_images,
                "floors": options.floors,
                "device": device,
                "progress": advance,
            }
            paths = write_references(images, protocol, options.scores, options.out, **keywords)
        for path in paths if rank() == 0 else ():
            console().print(f"written to {path}")
    return 0
