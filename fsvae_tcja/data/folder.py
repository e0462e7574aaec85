"""A folder of images as a data set."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from ..utils.printable import shown
from .contents import BESIDE, Contents, all_splits, copied, strange_classes, understood
from .copies import equal_images
from .image_dataset import FileImages
from .image_file import DEEP, FLOATS, is_image, read_header
from .layout import Layout, layout_of
from .listing import Listing, in_words, list_files
from .splits import whole_groups

KEPT = 2  # folders: images and what they are compared with


@dataclass(frozen=True)
class FolderContents(Contents[list[PurePosixPath]]):
    """What a folder of images holds. `files` are their paths below the folder, sorted.

    Attributes:
        copies: of each image that is equal to one before it the first such one.
    """

    copies: dict[PurePosixPath, PurePosixPath]


def inspect_folder(folder: str | Path) -> FolderContents:
    """Look at the images below a folder, nested or not: the headers of all, and the pixels of those that may be copies.

    What was found is kept in the process for the last two folders, and holds while no file has changed.

    Which files count is the rule of `list_files`, what the names of folders mean that of `layout_of`. Splits:

    - folders of splits: theirs. Without test/ the images of val/ are the test split, and of train/ alone a part.
    - none: "test" is the tenth of the files (at least one) whose path relative to the folder has the smallest SHA-256,
      files of equal contents together, and "train" the rest.
    - "all" is every image.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, one that cannot be read, or names that mix splits and classes.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        if folder.exists():
            raise FileNotFoundError(f"expected a folder of images, and {shown(folder)} is a file")
        raise FileNotFoundError(f"there is no folder of images {shown(folder)}")
    return _contents(folder, list_files(folder, is_image))


@lru_cache(KEPT)
def _contents(folder: Path, listing: Listing) -> FolderContents:
    layout = layout_of(folder, listing.files)
    names = [name for name in listing.files if layout.counts(name)]
    passed_over = in_words(listing.passed_over + Counter({BESIDE: len(listing.files) - len(names)}))
    if not names:
        raise ValueError(
            f"no image in {shown(folder)}: expected files that end in .png, .jpg or what else Pillow reads; "
            f"found {passed_over or 'nothing'}"
        )
    headers = [read_header(folder / name) for name in names]
    conversions = Counter(conversion for header in headers for conversion in header.conversions)
    classes = sorted({part for name in names if (part := layout.class_of(name)) is not None})
    first, not_compared = equal_images([folder / name for name in names], [header.size for header in headers])
    copies = {name: names[first[i]] for i, name in enumerate(names) if first[i] != i}
    splits = _splits(layout, names, copies)
    sizes = {name: header.size for name, header in zip(names, headers, strict=True)}
    number = dict(zip(names, first, strict=True))
    notes = (
        passed_over and f"passed over: {passed_over}",
        ", ".join(f"{n:,} of {len(names):,} images {conversion}" for conversion, n in conversions.items()),
        copied(layout, {split: [number[name] for name in files] for split, files in splits.items()}),
        not_compared,
        strange_classes(_labels(layout, splits.get("train", ()), classes), _labels(layout, names, classes), classes),
    )
    return FolderContents(
        folder,
        layout,
        splits,
        classes,
        1 if all(header.grey for header in headers) else 3,
        {split: Counter(sizes[name] for name in files) for split, files in splits.items()},
        not conversions.keys().isdisjoint({DEEP, FLOATS}),
        f"{shown(folder)}: {understood(layout, splits, classes)}",
        tuple(f"{shown(folder)}: {note}" for note in notes if note),
        copies,
    )


def load_folder(folder: Path, split: str, size: int | None) -> FileImages:
    """The images of a split of a folder, in the order of their paths, decoded when they are asked for.

    Splits, classes and channels are those of `inspect_folder`. Labels are indices into the class names; -1 for files
    that lie in no class. `classes` is None if no file has a label. What was understood, passed over and converted is
    told in a warning a line, and kept in `notes`.

    Args:
        folder: of images.
        split: "train", "valid", "test" or "all"; "val" and the other names of `SPLIT_NAMES` in any case.
        size: height and width to bring them to, in pixels; None: that of the images, which must be square and agree.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, or none of this split, or one that cannot be read, or sizes that do not agree.
    """
    contents = inspect_folder(folder)
    split, names = contents.of(split)
    data = FileImages(
        shown(contents.folder.name),
        split,
        [contents.folder / name for name in names],
        torch.tensor(_labels(contents.layout, names, contents.class_names)),
        len(contents.class_names) or None,
        channels=contents.channels,
        size=contents.size if size is None else size,
        class_names=[shown(name) for name in contents.class_names],
        equal=_numbered([contents.copies.get(name, name) for name in names]),
    )
    contents.tell(data)
    return data


def has_valid_folder(folder: Path) -> bool:
    """Whether a folder has images of a validation split of its own beside those of its test split."""
    folder = folder.expanduser()
    return folder.is_dir() and {"valid", "test"} <= inspect_folder(folder).layout.folders.keys()


Splits = dict[str, list[PurePosixPath]]
Copies = Mapping[PurePosixPath, PurePosixPath]


def _numbered(names: Sequence[PurePosixPath]) -> Tensor:
    """A number for each name, int64 [len], the same for the same name."""
    numbers: dict[PurePosixPath, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])


def _splits(layout: Layout, names: list[PurePosixPath], copies: Copies) -> Splits:
    """The images of each split; "all" is every one."""
    own = {split: [name for name in names if name.parts[0] == top] for split, top in layout.folders.items()}
    return all_splits(own, lambda: _split_by_hash(names, copies), names)


def _split_by_hash(names: list[PurePosixPath], copies: Copies) -> Splits:
    ranked = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(str(name))).digest())
    chosen = whole_groups([copies.get(name, name) for name in ranked], max(1, round(len(names) / 10)))
    test = {name for name, is_chosen in zip(ranked, chosen, strict=True) if is_chosen}
    return {"train": [name for name in names if name not in test], "test": [name for name in names if name in test]}


def _labels(layout: Layout, names: Iterable[PurePosixPath], classes: Sequence[str]) -> list[int]:
    """The number of each image's class, -1 where it has none."""
    index = {name: i for i, name in enumerate(classes)}
    return [index.get(layout.class_of(name) or "", -1) for name in names]
