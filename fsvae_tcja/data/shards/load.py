"""Tar shards as a data set: splits, classes and what is told of them."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from ...utils.printable import shown
from ..contents import BESIDE, Contents, all_splits, copied, strange_classes, understood
from ..image_file import DEEP, FLOATS
from ..layout import Layout, layout_of, split_named
from ..listing import in_words
from ..splits import whole_groups
from .dataset import Places, ShardImages, first_equal
from .find import Shard, find_shards
from .index import ShardIndex
from .keep import State, indices_of, state_of

KEPT = 2  # data sets in a process
MOST_CLASSES = 10**6


@dataclass(frozen=True)
class ShardContents(Contents[np.ndarray]):
    """What tar shards hold. `files` are int64 rows of `places`.

    Attributes:
        places: of all images.
        labels: int64 [N], -1: none.
    """

    places: Places
    labels: np.ndarray


def inspect_shards(name: str | Path, root: str | Path | None = None) -> ShardContents:
    """Look at the images in tar shards, by their indices, which are made first where there are none: see `indices_of`.

    Folders in a shard, and those that the shards lie in, mean what folders of images mean: see `inspect_folder`. Where
    some image of a data set has a label of its own (.cls) folders are no classes: texts name the classes, integers
    number them from 0; -1 is no label.

    Args:
        name: a folder of shards, a .tar, or a pattern of some: see `find_shards`.
        root: folder of the data sets, where indices go that cannot lie beside their shards.

    Raises:
        FileNotFoundError: a shard is not there.
        ValueError: no image in them, or one that cannot be read, or names that mix splits and classes.
    """
    place = Path(name).expanduser().absolute()
    shards, passed_over = find_shards(place)
    reasons = tuple(sorted(passed_over.items()))
    return contents_of(place, tuple(shards), tuple(state_of(shard.path) for shard in shards), reasons, root)


def load_shards(name: str | Path, split: str, size: int | None, root: str | Path | None = None) -> ShardImages:
    """The images of a split of tar shards, in their order there, decoded when they are asked for.

    Args:
        name, root: as for `inspect_shards`.
        split, size: as for `load_folder`.

    Raises:
        FileNotFoundError, ValueError: as `inspect_shards`, no image of this split, or sizes that do not agree.
    """
    contents = inspect_shards(name, root)
    split, rows = contents.of(split)
    data = ShardImages(
        shown(contents.folder.name),
        split,
        contents.places,
        rows,
        torch.from_numpy(contents.labels[rows]),
        len(contents.class_names) or None,
        channels=contents.channels,
        size=contents.size if size is None else size,
        class_names=[shown(name) for name in contents.class_names],
    )
    contents.tell(data)
    return data


@lru_cache(KEPT)
def contents_of(
    place: Path,
    shards: Sequence[Shard],
    states: Sequence[State],
    reasons: Sequence[tuple[str, int]],
    root: str | Path | None,
) -> ShardContents:
    """What shards of these states hold."""
    indices = indices_of([shard.path for shard in shards], root)
    passed_over = sum((index.passed_over for index in indices), Counter(dict(reasons)))
    places = _places(shards, indices)
    if not len(places):
        raise ValueError(
            f"no image in {shown(place)}: expected .tar files with members that end in .png, .jpg or what else Pillow "
            f"reads; found {in_words(passed_over) or 'nothing'}"
        )
    folders, folder = _folders(shards, indices)
    layout = layout_of(place, folders)
    counted = np.array([layout.counts(path) for path in folders])[folder]
    passed_over += Counter({BESIDE: int((~counted).sum())})
    labels, classes = _labels(place, indices, layout, folders, folder)
    first = first_equal(places.sha256)
    splits = _splits(layout, places, folders, folder, counted, first)
    sizes = np.concatenate([index.pixels for index in indices])
    grey, conversions = _headers(indices, counted)
    n = len(splits["all"])
    notes = (
        passed_over and f"passed over: {in_words(passed_over)}",
        ", ".join(f"{count:,} of {n:,} images {conversion}" for conversion, count in conversions.items()),
        copied(layout, {split: first[rows].tolist() for split, rows in splits.items()}),
        strange_classes(labels[splits.get("train", [])].tolist(), labels[splits["all"]].tolist(), classes),
    )
    return ShardContents(
        place,
        layout,
        splits,
        classes,
        1 if grey else 3,
        {split: _counted(sizes[rows]) for split, rows in splits.items()},
        not conversions.keys().isdisjoint({DEEP, FLOATS}),
        f"{shown(place)}: {len(shards):,} shard{'s' * (len(shards) > 1)}, {understood(layout, splits, classes)}",
        tuple(f"{shown(place)}: {note}" for note in notes if note),
        places,
        labels,
    )


def _places(shards: Sequence[Shard], indices: Sequence[ShardIndex]) -> Places:
    """Of the images of all shards, one shard after the other."""

    def joined(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)

    before = np.cumsum([0] + [len(index.names) for index in indices])
    return Places(
        [shard.path for shard in shards],
        np.repeat(np.arange(len(shards), dtype=np.int32), [len(index) for index in indices]),
        joined([index.offset for index in indices]),
        joined([index.size for index in indices]),
        joined([index.sha256 for index in indices]),
        joined([index.name_end + start for index, start in zip(indices, before, strict=False)]),
        joined([index.names for index in indices]),
    )


def _folders(shards: Sequence[Shard], indices: Sequence[ShardIndex]) -> tuple[list[PurePosixPath], np.ndarray]:
    """The folders in which the images lie, each as the path of an image in it; and int64 [N], which is whose."""
    numbers: dict[tuple[str, tuple[str, ...], str], int] = {}
    which = [
        numbers.setdefault((shard.split, shard.above, path.rpartition("/")[0]), len(numbers))
        for shard, index in zip(shards, indices, strict=True)
        for path in index.paths()
    ]
    return [_image_in(*where) for where in numbers], np.array(which, np.int64)


def _image_in(split: str, above: tuple[str, ...], inner: str) -> PurePosixPath:
    """The path of an image, as if its shard were unpacked. A split that its name and its first folder say is one."""
    said = not split or split_named(inner.partition("/")[0]) == split_named(split)
    return PurePosixPath(*([] if said else [split]), *above, inner, "image")


def _labels(
    place: Path,
    indices: Sequence[ShardIndex],
    layout: Layout,
    folders: Sequence[PurePosixPath],
    folder: np.ndarray,
) -> tuple[np.ndarray, list[str]]:
    """Labels int64 [N], and the names of the classes."""
    texts = sorted({text for index in indices for text in index.labels})
    if not texts:
        of_folder = [layout.class_of(path) for path in folders]
        classes = sorted({name for name in of_folder if name is not None})
        number = {name: i for i, name in enumerate(classes)}
        return np.array([-1 if name is None else number[name] for name in of_folder], np.int64)[folder], classes
    numbered = all(text.removeprefix("-").isdecimal() for text in texts)
    number = {text: int(text) if numbered else i for i, text in enumerate(texts)}
    low, high = min(number.values()), max(number.values())
    if low < -1 or high >= MOST_CLASSES:
        raise ValueError(
            f"the labels (.cls) in {shown(place)} go from {low} to {high}; expected the numbers of classes from 0, "
            f"below {MOST_CLASSES:,}, or their names"
        )
    found = [np.array([*map(number.get, index.labels), -1], np.int64)[index.label] for index in indices]
    return np.concatenate(found), [str(i) for i in range(high + 1)] if numbered else texts


def _headers(indices: Sequence[ShardIndex], counted: np.ndarray) -> tuple[bool, Counter[str]]:
    """Whether all images are grey, and how many of them reading converts."""
    all_grey, conversions, start = True, Counter[str](), 0
    for index in indices:
        kinds = index.kind[counted[start : start + len(index)]]
        start += len(index)
        for (grey, converted), n in zip(index.kinds, np.bincount(kinds, minlength=len(index.kinds)), strict=True):
            all_grey = all_grey and (grey or not n)
            conversions += Counter(dict.fromkeys(converted, int(n)))
    return all_grey, conversions


def _counted(sizes: np.ndarray) -> Counter[tuple[int, int]]:
    found, counts = np.unique(sizes, axis=0, return_counts=True)
    return Counter({(int(width), int(height)): int(n) for (width, height), n in zip(found, counts, strict=True)})


def _splits(
    layout: Layout,
    places: Places,
    folders: Sequence[PurePosixPath],
    folder: np.ndarray,
    counted: np.ndarray,
    first: np.ndarray,
) -> dict[str, np.ndarray]:
    """The rows of each split, as `inspect_folder` has them."""
    own = {
        split: np.flatnonzero(np.array([path.parts[0] == name for path in folders])[folder])
        for split, name in layout.folders.items()
    }
    everything = np.flatnonzero(counted)
    return all_splits(own, lambda: _split_by_hash(places, folders, folder, everything, first), everything)


def _split_by_hash(
    places: Places, folders: Sequence[PurePosixPath], folder: np.ndarray, rows: np.ndarray, first: np.ndarray
) -> dict[str, np.ndarray]:
    """By the paths that the images would have in folders."""

    before = [str(path).removesuffix("image") for path in folders]

    def digest(row: int) -> bytes:
        path = before[folder[row]] + places.name(row).rpartition("/")[2]
        return hashlib.sha256(os.fsencode(path)).digest()

    ranked = sorted(rows.tolist(), key=digest)
    chosen = whole_groups(first[ranked].tolist(), max(1, round(len(rows) / 10)))
    test = np.zeros(len(places), bool)
    test[[row for row, is_chosen in zip(ranked, chosen, strict=True) if is_chosen]] = True
    return {"train": rows[~test[rows]], "test": rows[test[rows]]}
