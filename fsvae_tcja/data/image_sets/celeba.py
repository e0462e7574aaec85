"""CelebA: aligned photographs of faces."""

import os
from pathlib import Path

import torch

from ...utils.foreign import reading
from ...utils.printable import shown
from ..image_dataset import FileImages
from ..image_file import read_header
from .download import torchvision_download
from .record import ImageSet

PARTITION = {"train": "0", "valid": "1", "test": "2"}
FILES = ("celeba/img_align_celeba", "celeba/list_eval_partition.txt")
CROP = 148
PUBLISHED = (178, 218)  # width and height, in pixels


def load(split: str, size: int | None, files: list[Path]) -> FileImages:
    """The 148x148 centre of each photograph; no labels. Files of the partition: a name and 0, 1 or 2 on each line."""
    folder, partition = files
    paths = _photographs(folder, [name for name, part in _rows(partition) if part == PARTITION[split]])
    labels = torch.full((len(paths),), -1)
    data = FileImages("celeba", split, paths, labels, None, channels=3, size=size or CROP, crop=CROP)
    if paths and (found := read_header(paths[0])[1:3]) != PUBLISHED:
        sizes = "{} x {}, not {} x {}".format(*found, *PUBLISHED)
        data.notes = (
            f"celeba: {shown(paths[0])} has {sizes} pixels as published; of each photograph the {CROP} x {CROP} in its "
            "centre are taken",
        )
    return data


def check(files: list[Path]) -> None:
    """Whether all photographs of the partition are there."""
    folder, partition = files
    _photographs(folder, [name for name, _ in _rows(partition)])


def _rows(partition: Path) -> list[list[str]]:
    with reading(partition, "cannot be read", "fetch it again"):
        rows = [line.split() for line in partition.read_text(errors="replace").splitlines() if line.strip()]
    if not rows or any(len(row) != 2 or row[1] not in PARTITION.values() for row in rows):
        raise ValueError(
            f"{shown(partition.absolute())} is damaged: expected a file name and 0, 1 or 2 on each line; fetch it again"
        )
    return rows


def _photographs(folder: Path, names: list[str]) -> list[Path]:
    """Where these photographs lie: in the folder, or in one of its name inside it, where unpackers may put them.

    Raises:
        FileNotFoundError: some are missing.
    """
    inner = folder / folder.name
    place = inner if inner.is_dir() else folder
    found = set(os.listdir(place)) if place.is_dir() else set()
    if missing := [name for name in names if name not in found]:
        raise FileNotFoundError(
            f"celeba: {len(missing):,} of {len(names):,} photographs are not in {shown(place.absolute())}, which holds "
            f"{len(found):,} files; unpack img_align_celeba.zip so that {missing[0]} lies in it"
        )
    return [place / name for name in names]


CELEBA = ImageSet(
    load,
    dict.fromkeys(PARTITION, FILES),
    "202,599 photographs of faces",
    labelled=False,
    download=torchvision_download("CelebA", split="all"),
    check=check,
    training=162_770,
)
