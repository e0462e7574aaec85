"""MNIST and Fashion-MNIST: idx files, gzipped or not, read in place."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..idx import read_idx
from ..image_dataset import MemoryImages
from ..resize import resized
from .download import torchvision_download
from .record import ImageSet

KINDS = ("images-idx3", "labels-idx1")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SYSTEM = Path("/usr/share/datasets")  # where Debian's package dataset-fashion-mnist puts its files


def load(
    name: str, class_names: tuple[str, ...] | None, split: str, size: int | None, files: list[Path]
) -> MemoryImages:
    """28x28 grey images and their labels."""
    (images, of_images), (labels, of_labels) = (read_idx(path, axes) for path, axes in zip(files, (3, 1), strict=True))
    if labels.max(initial=0) > 9:
        raise ValueError(f"{files[1]} holds the label {labels.max()}, expected 0 to 9; fetch it again")
    if 0 in images.shape:
        raise ValueError(f"{files[0]} holds no pixels, its shape is {images.shape}; fetch it again")
    if len(images) != len(labels):
        raise ValueError(
            f"{files[0]} holds {len(images)} images, {files[1].name} {len(labels)} labels; fetch both again"
        )
    data = MemoryImages(name, split, resized(images, size), torch.from_numpy(labels.astype(np.int64)), 10, class_names)
    data.sha256 = of_images, of_labels
    return data


def _record(
    name: str, dataset: str, about: str, hashes: tuple[str, ...], class_names: tuple[str, ...] | None = None
) -> ImageSet:
    """The record of a set in torchvision's layout, `dataset`/raw; the hashes are of `files`, in their order."""
    splits = {
        split: tuple(f"{dataset}/raw/{prefix}-{kind}-ubyte.gz" for kind in KINDS)
        for split, prefix in (("train", "train"), ("test", "t10k"))
    }
    return ImageSet(
        partial(load, name, class_names),
        splits,
        about,
        download=torchvision_download(dataset),
        elsewhere=(SYSTEM / name,),
        sha256=dict(zip((*splits["train"], *splits["test"]), hashes, strict=True)),
        training=60_000,
    )


MNIST = _record(
    "mnist",
    "MNIST",
    "70,000 handwritten digits of 28x28",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
FASHION_MNIST = _record(
    "fashion-mnist",
    "FashionMNIST",
    "70,000 grey pictures of clothes of 28x28",
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    CLOTHES,
)
