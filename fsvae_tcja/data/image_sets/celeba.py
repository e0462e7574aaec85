"""CelebA: aligned photographs of faces."""

from pathlib import Path

import torch

from ...utils.foreign import reading
from ..image_dataset import FileImages
from .download import torchvision_download
from .record import ImageSet

PARTITION = {"train": "0", "valid": "1", "test": "2"}
FILES = ("celeba/img_align_celeba", "celeba/list_eval_partition.txt")
CROP = 148


def load(split: str, size: int | None, files: list[Path]) -> FileImages:
    """The 148x148 centre of each photograph; no labels. Files of the partition: a name and 0, 1 or 2 on each line."""
    folder, partition = files
    with reading(partition, "cannot be read", "fetch it again"):
        rows = [line.split() for line in partition.read_text(errors="replace").splitlines() if line.strip()]
    if not rows or any(len(row) != 2 or row[1] not in PARTITION.values() for row in rows):
        raise ValueError(
            f"{partition.absolute()} is damaged: expected a file name and 0, 1 or 2 on each line; fetch it again"
        )
    paths = [folder / name for name, part in rows if part == PARTITION[split]]
    labels = torch.full((len(paths),), -1)
    return FileImages("celeba", split, paths, labels, None, channels=3, size=size or CROP, crop=CROP)


CELEBA = ImageSet(
    load,
    dict.fromkeys(PARTITION, FILES),
    "202,599 photographs of faces",
    labelled=False,
    download=torchvision_download("CelebA", split="all"),
)
