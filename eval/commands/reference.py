"""fsvae-tcja eval reference: statistics of reference images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.utils.options import parse

from ..evaluation import open_reference, write_references
from ..networks import Networks
from ..processes import launched_by_torchrun, rank
from ..protocols import get_protocol
from .display import console, image_bar, images_to_read
from .options import ImageOptions


@dataclass(frozen=True, kw_only=True)
class ReferenceCommand(ImageOptions):
    """Make statistics of reference images, for the Frechet distances of a protocol."""

    images: Annotated[str, tyro.conf.Positional]
    """A data set, a folder, an .npz or .npy."""
    out: Path
    """Folder for the statistics, one file per score."""
    scores: tuple[str, ...] = ("FAD",)
    """For which scores."""

    def run(self) -> None:
        """Compute and write."""
        protocol, networks = get_protocol(self.protocol), Networks(**vars(self.networks))
        with launched_by_torchrun(resolve(self.device)) as device:
            images = open_reference(self.images, protocol, value_range=self.value_range, **self.where)
            with image_bar(images_to_read(0, images)) as advance:
                options = {"networks": networks, "device": device, "progress": advance}
                paths = write_references(images, protocol, self.scores, self.out, **options)
            first = rank() == 0
        for path in paths if first else ():
            console().print(f"written to {path}")


def main(args: list[str]) -> int:
    """Make statistics and write them."""
    parse(ReferenceCommand, "fsvae-tcja eval reference", args).run()
    return 0
