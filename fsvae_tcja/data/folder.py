"""A folder of images as a data set."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from .image_dataset import FileImages
from .image_file import EXTENSIONS, read_header


@dataclass(frozen=True)
class FolderContents:
    """What a folder of images holds, by the names and headers of its files.

    Attributes:
        folder: its absolute path.
        is_split: whether its subfolders are the splits.
        files: the images of each split, by their paths below the folder, sorted.
        class_names: the first subfolders (below train/ and test/ if there are such), sorted; empty: no labels.
        channels: 1 if every file is grey, else 3.
        sizes: (width, height) in pixels, and how many images have it.
    """

    folder: Path
    is_split: bool
    files: dict[str, list[PurePosixPath]]
    class_names: list[str]
    channels: int
    sizes: Counter[tuple[int, int]]

    def __len__(self) -> int:
        return self.sizes.total()

    @property
    def size(self) -> int:
        """Height and width of the images, in pixels.

        Raises:
            ValueError: they are not square, or not of one size.
        """
        (width, height), _ = self.sizes.most_common(1)[0]
        if width != height or len(self.sizes) > 1:
            found = ", ".join(f"{w} x {h}" for w, h in list(self.sizes)[:3])
            raise ValueError(
                f"the images in {self.folder} are not all square and of one size: found {found}"
                f"{', ...' * (len(self.sizes) > 3)} pixels; say to which size to bring them with --size (size=)"
            )
        return width


def inspect_folder(folder: str | Path) -> FolderContents:
    """Look at the images below a folder, nested or not; the headers of all are read.

    Splits: if there are subfolders train/ and test/, every subfolder is the split of its name. Otherwise "test" is the
    tenth of the files (at least one) whose path relative to the folder has the smallest SHA-256, and "train" the rest.
    "all" is every image.
    Files and folders whose name starts with a dot, and files with another extension than EXTENSIONS, are passed over.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, or one that cannot be read; the message names it.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder of images {folder}")
    names = _find_images(folder)
    if not names:
        raise ValueError(f"no image in {folder}: expected files that end in {sorted(EXTENSIONS)}")
    is_split = (folder / "train").is_dir() and (folder / "test").is_dir()
    headers = [read_header(folder / name) for name in names]
    return FolderContents(
        folder,
        is_split,
        (_split_by_folder if is_split else _split_by_hash)(names) | {"all": names},
        sorted({part for name in names if (part := _class_of(name, is_split)) is not None}),
        1 if all(header.grey for header in headers) else 3,
        Counter((header.width, header.height) for header in headers),
    )


def load_folder(folder: Path, split: str, size: int | None) -> FileImages:
    """The images of a split of a folder, in the order of their paths, decoded when they are asked for.

    Splits, classes and channels are those of `inspect_folder`. Labels are indices into the class names; -1 for files
    that lie in no class. `classes` is None if no file has a label.

    Args:
        folder: of images.
        split: "train", "test", "all", or the name of a subfolder beside train/ and test/.
        size: height and width to bring them to, in pixels; None: that of the images, which must be square and agree.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, or none of this split, or one that cannot be read, or sizes that do not agree.
    """
    contents = inspect_folder(folder)
    if split not in contents.files:
        if not contents.is_split:
            hint = '; "valid" is a part of train: say which with validation=0.1' if split == "valid" else ""
            raise ValueError(f"unknown split {split!r}: a folder has the splits train, test and all{hint}")
        raise ValueError(f"no image for the split {split!r} in {contents.folder}, which holds {len(contents)} in all")
    names = contents.files[split]
    index = {name: i for i, name in enumerate(contents.class_names)}
    return FileImages(
        contents.folder.name,
        split,
        [folder / name for name in names],
        torch.tensor([index.get(_class_of(name, contents.is_split) or "", -1) for name in names]),
        len(contents.class_names) or None,
        channels=contents.channels,
        size=contents.size if size is None else size,
        class_names=contents.class_names,
    )


def _class_of(name: PurePosixPath, is_split: bool) -> str | None:
    """The subfolder that names the class of a file."""
    folders = name.parts[is_split:-1]
    return folders[0] if folders else None


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


def _split_by_folder(names: list[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    splits: dict[str, list[PurePosixPath]] = {}
    for name in names:
        if len(name.parts) > 1:
            splits.setdefault(name.parts[0], []).append(name)
    return splits


def _split_by_hash(names: list[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    ranked = sorted(names, key=lambda name: hashlib.sha256(str(name).encode()).digest())
    n_test = max(1, round(len(names) / 10))
    return {"train": sorted(ranked[n_test:]), "test": sorted(ranked[:n_test])}
