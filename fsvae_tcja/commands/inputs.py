"""The images that a command shows to a model."""

from pathlib import Path
from typing import Any

from ..data.dataset import LabelledDataset
from ..data.load import load_images
from ..runtime import checkpoint
from ..runtime.checkpoint import find
from ..vae import FSVAEConfig


def images_for(
    path: Path, config: FSVAEConfig, data: str | None, split: str, n: int, where: dict[str, Any]
) -> LabelledDataset:
    """A data set for a model: the one named, else that which the checkpoint was trained on.

    Raises:
        ValueError: it says none, the model takes other images, or there are no n of them.
    """
    name = data or checkpoint.read_metadata(find(path)).get("data")
    if name is None:
        raise ValueError(f"{path} does not say what it was trained on; name a data set with --data")
    images = load_images(name, split, size=config.image_size, **where)
    if images.channels != config.in_channels or config.input != "image":
        raise ValueError(
            f"the model takes {config.in_channels} channel(s) of {config.input}, {name} gives images of "
            f"{images.channels}; take images of the kind that it was trained on"
        )
    if not 1 <= n <= len(images):
        raise ValueError(f"n must be in 1..{len(images)}, the images of {name} {split}; found {n}")
    return images
