"""The images that a command shows to a model."""

from pathlib import Path
from typing import Any

from ..data.dataset import LabelledDataset
from ..data.load import load_images
from ..runtime import checkpoint
from ..runtime.checkpoint import find
from ..vae import FSVAEConfig


def images_for(
    path: Path, config: FSVAEConfig, data: str | None, split: str, where: dict[str, Any]
) -> tuple[str, LabelledDataset]:
    """A data set for a model and its name: the one named, else that which the checkpoint was trained on.

    Raises:
        ValueError: the checkpoint says none.
    """
    name = data or checkpoint.read_metadata(find(path)).get("data")
    if name is None:
        raise ValueError(f"{path} does not say what it was trained on; name a data set with --data")
    return name, load_images(name, split, size=config.image_size, **where)
