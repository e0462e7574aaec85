"""A folder of images as a data set."""

import hashlib
import os
from pathlib import Path, PurePosixPath

import torch

from .image_dataset import FileImages
from .image_file import EXTENSIONS, is_grey


def load_folder(folder: Path, split: str, size: int) -> FileImages:
    """The images below `folder`, nested or not, in the order of their paths, decoded when they are asked for.

    Split: if there are subfolders train/ and test/, a split is the subfolder of its name. Otherwise "test" is the tenth
    of the files (at least one) whose path relative to the folder has the smallest SHA-256, and "train" the rest.
    "all" is every image.
    Labels: the index of the first subfolder (below train/ and test/ if there are such) among their sorted names;
    -1 for files that lie in none. `classes` is None if no file has a label.
    Channels: 1 if every file of every split is grey, else 3.
    Files and folders whose name starts with a dot, and files with another extension than EXTENSIONS, are passed over.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, or none of this split, or an image that cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder of images {folder.absolute()}")
    names = _find_images(folder)
    if not names:
        raise ValueError(f"no image in {folder.absolute()}: expected files that end in {sorted(EXTENSIONS)}")
    is_split = (folder / "train").is_dir() and (folder / "test").is_dir()
    chosen = _choose(names, split, is_split)
    if not chosen:
        raise ValueError(f"no image for the split {split!r} in {folder.absolute()}, which holds {len(names)} in all")

    depth = int(is_split)
    classes = sorted({name.parts[depth] for name in names if len(name.parts) > depth + 1})
    index = {name: i for i, name in enumerate(classes)}
    return FileImages(
        folder.absolute().name,
        split,
        [folder / name for name in chosen],
        torch.tensor([index.get(name.parts[depth], -1) if len(name.parts) > depth + 1 else -1 for name in chosen]),
        len(classes) or None,
        channels=1 if all(is_grey(folder / name) for name in names) else 3,
        size=size,
        class_names=classes,
    )


def _find_images(folder: Path) -> list[PurePosixPath]:
    """Paths of the images relative to `folder`, sorted."""
    found = []
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        base = Path(path).relative_to(folder)
        found += [
            PurePosixPath((base / name).as_posix())
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    return sorted(found)


def _choose(names: list[PurePosixPath], split: str, is_split: bool) -> list[PurePosixPath]:
    if split == "all":
        return names
    if is_split:
        return [name for name in names if name.parts[0] == split]
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}: a folder has the splits train, test and all")
    ranked = sorted(names, key=lambda name: hashlib.sha256(str(name).encode()).digest())
    n_test = max(1, round(len(names) / 10))
    return sorted(ranked[:n_test] if split == "test" else ranked[n_test:])
