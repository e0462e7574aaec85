"""What the folders of a data set mean: splits, and classes within them. The rules are in docs/DATA.md."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..utils.printable import shown

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> str | None:
    """The split that a folder of this name holds, in any case: "Val" -> "valid"; None: it names no split."""
    return SPLIT_NAMES.get(name.lower())


def _split_in(name: str) -> str | None:
    """The split of which a longer name speaks: "training_set", "val2017", "testA"; None: none."""
    words = re.findall("[A-Z]?[a-z]+|[A-Z]+", name)
    return next((split for word in words if (split := split_named(word.lower().removesuffix("set")))), None)


@dataclass(frozen=True)
class Layout:
    """How a folder is laid out: SPLIT/CLASS/... or CLASS/... or neither.

    Attributes:
        folders: of each split the name of its folder; empty: there are none.
    """

    folders: dict[str, str]

    def class_of(self, path: PurePosixPath) -> str | None:
        """The folder that names the class of a file; None: it lies in no class."""
        inner = path.parts[bool(self.folders) : -1]
        return inner[0] if inner else None

    def counts(self, path: PurePosixPath) -> bool:
        """Whether a file belongs to the data set: all do but those that lie beside the folders of the splits."""
        return not self.folders or len(path.parts) > 1


def layout_of(folder: Path, paths: Iterable[PurePosixPath]) -> Layout:
    """The layout of a folder with images at these paths below it.

    Raises:
        ValueError: names of splits and other names side by side, splits within classes, one split twice, or several
            splits in longer names, which may be classes.
    """
    folders = sorted({path.parts[:-1] for path in paths})
    top = sorted({parts[0] for parts in folders if parts})
    splits = [name for name in top if split_named(name)]
    others = [name for name in top if name not in splits]
    where = f"{shown(folder)} has images in"
    if splits and others:
        raise ValueError(
            f"{where} {_names(splits)}, which name splits, beside {_names(others)}, which do not: put every class "
            f"inside the splits, as in {shown(splits[0])}/{shown(others[0])}/, or move away or rename what is no split"
        )
    if deeper := [parts for parts in folders if any(split_named(name) for name in parts[bool(splits) :])]:
        inner = "/".join(deeper[0])
        remedy = "a split comes first, then the class, as in train/cats/"
        if not splits and len(top) == 1:
            remedy = f"name {shown(folder / top[0])} instead if the splits are in there, else rename the folder"
        raise ValueError(f"{where} {shown(inner)}/, where the name of a split stands within another folder: {remedy}")
    if not splits and len({_split_in(name) for name in top} - {None}) > 1:
        alike = [name for name in top if _split_in(name)]
        raise ValueError(
            f"{where} {_names(alike)}, which may name splits or classes: rename splits to train/, val/ and test/, or "
            f"name one of them, {shown(folder / alike[0])}; classes need names without these words"
        )
    named = {split_named(name) or "": name for name in splits}
    if len(named) < len(splits):
        raise ValueError(f"{where} {_names(splits)}, two of which name one split: merge them or move one away")
    return Layout({split: named[split] for split in ("train", "valid", "test") if split in named})


def _names(names: list[str]) -> str:
    return ", ".join(f"{shown(name)}/" for name in names[:5]) + ", ..." * (len(names) > 5)
