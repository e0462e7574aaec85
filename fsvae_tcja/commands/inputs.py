"""Images that a command takes from a data set, for a model."""

from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import LabelledDataset, Subset
from ..data.load import load_images
from ..runtime import checkpoint
from ..runtime.checkpoint import find
from ..vae.codes import codes_of
from ..vae.model import FSVAE


def data_of(path: Path, data: str | None) -> str:
    """The name of the data that was given, else of what the model was trained on."""
    found = data or checkpoint.read_metadata(find(path)).get("data")
    if found is None:
        raise ValueError(f"{path} does not say what it was trained on; name a data set with --data")
    return str(found)


def images_for(model: FSVAE, data: str, split: str, root: Path | None, download: bool) -> LabelledDataset:
    """A split of a data set in the size of the model."""
    return load_images(data, split, size=model.config.image_size, root=root, download=download)


def random_codes(model: FSVAE, images: LabelledDataset, n: int, seed: int) -> tuple[LabelledDataset, Tensor]:
    """n images, drawn at random by the seed, and their codes [T, n, L]."""
    if not 1 <= n <= len(images):
        raise ValueError(f"n must be in 1..{len(images)}, the images of {images.name} {images.split}; found {n}")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    chosen = Subset(images, order[:n])
    codes = codes_of(model, chosen, seed).codes
    return chosen, codes.transpose(0, 1).float().to(next(model.parameters()).device)
