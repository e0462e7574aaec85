"""CIFAR10 and CIFAR100, read by torchvision after its md5 check."""

import hashlib
from functools import partial
from pathlib import Path

import torch

from ...utils.foreign import reading
from ..image_dataset import MemoryImages
from ..resize import resized
from .download import torchvision_dataset, torchvision_download
from .record import ImageSet


def load(name: str, dataset: str, split: str, size: int | None, files: list[Path]) -> MemoryImages:
    """32x32 colour images and their labels."""
    folder = files[0].parent
    with reading(folder.absolute(), "has a file that fails its md5 check", "delete the folder and fetch it again"):
        data = torchvision_dataset(dataset)(folder.parent, train=split == "train")
    labels = torch.tensor(data.targets)
    return MemoryImages(name, split, resized(data.data, size), labels, len(data.classes), data.classes)


def check(dataset: str, files: list[Path]) -> None:
    """The MD5 of every file, as torchvision knows it."""
    published = torchvision_dataset(dataset)
    meta = published.meta["filename"], published.meta["md5"]
    known = dict([*published.train_list, *published.test_list, meta])
    for path in files:
        with open(path, "rb") as file:
            if hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest() != known[path.name]:
                raise ValueError(f"{path.absolute()} fails its md5 check; delete its folder and fetch it again")


def _record(name: str, dataset: str, about: str, *files: str) -> ImageSet:
    return ImageSet(
        partial(load, name, dataset),
        dict.fromkeys(("train", "test"), files),
        about,
        download=torchvision_download(dataset),
        check=partial(check, dataset),
        training=50_000,
    )


CIFAR10 = _record(
    "cifar10",
    "CIFAR10",
    "60,000 colour photographs of 32x32, 10 classes",
    *(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
    "cifar-10-batches-py/test_batch",
    "cifar-10-batches-py/batches.meta",
)
CIFAR100 = _record(
    "cifar100",
    "CIFAR100",
    "60,000 colour photographs of 32x32, 100 classes",
    "cifar-100-python/train",
    "cifar-100-python/test",
    "cifar-100-python/meta",
)
