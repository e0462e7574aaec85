"""What commands that show images to a model have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from ..data.dataset import LabelledDataset, Subset
from ..data.load import load_images
from ..runtime import checkpoint
from ..runtime.checkpoint import find
from ..runtime.pretrained import FOLDER, names
from ..utils.options import DataRoot, Device, Download
from ..vae.codes import codes_of
from ..vae.model import FSVAE
from ..vae.reconstruct import check_taken

PRETRAINED = dict.fromkeys(names(), FOLDER)
"""What a shell completes where a model is to come."""


@dataclass(frozen=True)
class ImageOptions:
    """A model, and images for it."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model."""
    data: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")] = None
    """Data set by name, or a folder of images or tar shards; by default the one that the model was trained on."""
    split: str = "test"
    """Split of the data set."""
    seed: int = 0
    """Random seed: of what is drawn, and of which images are taken where not the first are."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"

    @property
    def source(self) -> str:
        """The name of the data that was given, else of what the model was trained on."""
        found = self.data or checkpoint.read_metadata(find(self.checkpoint)).get("data")
        if found is None:
            raise ValueError(f"{self.checkpoint} does not say what it was trained on; name a data set with --data")
        return str(found)

    def images(self, model: FSVAE) -> LabelledDataset:
        """The split in the size of the model."""
        size = model.config.image_size
        return load_images(self.source, self.split, size=size, root=self.data_root, download=self.download)

    def random_codes(
        self, model: FSVAE, n: int, images: LabelledDataset | None = None
    ) -> tuple[LabelledDataset, Tensor]:
        """n of the images, drawn at random by the seed, and their codes [T, n, L]."""
        images = self.images(model) if images is None else images
        check_taken(model, images, n)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.seed))
        chosen = Subset(images, order[:n])
        codes = codes_of(model, chosen, self.seed).codes
        return chosen, codes.transpose(0, 1).float().to(next(model.parameters()).device)
