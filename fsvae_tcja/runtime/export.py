"""Images on disk for other programs: a folder of PNG files, or one .npz."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.pixels import to_uint8
from ..utils.atomic import check_place, replacing, replacing_folder
from ..utils.outputs import check_out
from .pictures import save_grid, save_png

FORMS = "end it in .png (one grid) or .npz (an array), or name a folder"


def save_array(batches: Iterable[Tensor], path: str | Path) -> None:
    """Write float images [B, C, H, W] in [-1, 1] as uint8 [N, H, W, C], key "images", in a .npz."""
    pixels = torch.cat([to_uint8(images) for images in batches]).permute(0, 2, 3, 1).contiguous().numpy()
    with replacing(path, ".npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, images=pixels)


def save_folder(batches: Iterable[Tensor], folder: str | Path) -> int:
    """Write every image of the batches [B, C, H, W] as folder/000000.png and on, all or none; return their number.

    Raises:
        ValueError: the folder is a file, or already holds something, which must not be mixed with new images, or cannot
            be replaced.
    """
    number = 0
    with replacing_folder(_replaceable(Path(folder))) as unfinished:
        for images in batches:
            for image in images:
                save_png(image, unfinished / f"{number:06d}.png")
                number += 1
    return number


def _replaceable(folder: Path) -> Path:
    """The folder, or the one that a link to it leads to: new, or empty, so that a whole one can take its place."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; choose a new one for the images")
    place = folder.resolve()
    if place.is_mount() or place == Path.cwd():
        raise ValueError(
            f"{folder} is {'a mount point' if place.is_mount() else 'the working directory'}, which no folder can take "
            "the place of; choose a new one inside it for the images"
        )
    return place


def check_place_of_images(out: Path) -> None:
    """Raise ValueError, before images are drawn, if `save_images` could not write them there, or must not."""
    form = out.suffix.lower()
    if form == "":
        check_place(_replaceable(out))
    elif form in (".png", ".npz"):
        check_out(out, form)
    else:
        raise ValueError(f"cannot write {out}: {FORMS}")


def save_images(batches: Iterable[Tensor], out: str | Path, title: str | None = None) -> None:
    """Write images where `out` says: .png one grid under `title`, .npz one array, no suffix a folder of PNG files.

    `out` is one that `check_place_of_images` lets pass.
    """
    out = Path(out)
    form = out.suffix.lower()
    if form == ".png":
        save_grid(torch.cat([to_uint8(images) for images in batches]), out, title=title)
    elif form == ".npz":
        save_array(batches, out)
    elif form == "":
        save_folder(batches, out)
    else:
        raise ValueError(f"cannot write {out}: {FORMS}")
