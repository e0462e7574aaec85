"""Synthetic event sets: moving shapes in the files and folders of the published sets."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from . import gestures
from .moving import DURATION, HEADINGS, SHAPES, record
from .sources import CIFAR10_CLASSES, DIGITS, DIRECTIONS, EVENT_SETS
from .writers import write_aedat2, write_aedat3, write_atis

SYNTHETIC_SET = "synthetic-events"
TRAIN, TEST = 250, 50  # recordings of each direction
PAUSE = 50_000  # microseconds between two gestures of a recording
Draw = Callable[[int], np.ndarray]  # events of a new recording of a class


def write_synthetic_set(root: Path) -> None:
    """Write the set "synthetic-events" below `root`, unless it is there: 1,000 training and 200 test recordings.

    34 x 34 pixels, N-MNIST's files, seed 0. The classes are the directions right, left, up and down; shape, size,
    contrast, place and speed are random, and no single frame tells a direction from its opposite: see `moving`.
    """
    folder = root / EVENT_SETS[SYNTHETIC_SET].folders[0]
    if not folder.is_dir():
        write_synthetic(SYNTHETIC_SET, root, train=TRAIN, test=TEST)


def write_synthetic(name: str, root: Path, *, train: int = 4, test: int = 2, seed: int = 0) -> Path:
    """Write moving shapes as the files and folders of an event set.

    In "synthetic-events" a class is a direction. In the other sets, class i moves in direction i mod 8, with shape
    i // 8 mod 5 and a size that grows with i // 40.

    Args:
        name: of `EVENT_SETS`.
        root: the data root; the set's first folder is made below it.
        train: training recordings of each class; of dvs128, files that hold all classes.
        test: the same for the test split. Sets without a published split hold train + test recordings.
        seed: of everything.

    Returns:
        The folder, which is whole or not there.

    Raises:
        ValueError: an unknown name, or the folder is there already.
    """
    if name not in EVENT_SETS:
        raise ValueError(f"unknown event set {name!r}: choose one of {list(EVENT_SETS)}")
    folder = root / EVENT_SETS[name].folders[0]
    if folder.exists():
        raise ValueError(f"{folder.absolute()} is there already; delete it, or choose another root")
    draw = _drawer(name, np.random.default_rng(seed))
    with _whole(folder) as temporary:
        WRITERS[name](temporary, draw, train, test)
    return folder


def _drawer(name: str, rng: np.random.Generator) -> Draw:
    size = EVENT_SETS[name].size
    pixel = min(size) / 34

    def draw(label: int) -> np.ndarray:
        if name == SYNTHETIC_SET:
            heading, shape, radius = DIRECTIONS[label], rng.choice(list(SHAPES)), rng.uniform(3, 6)
        else:
            heading, shape = list(HEADINGS)[label % 8], list(SHAPES)[label // 8 % 5]
            radius = 3 + 1.5 * (label // 40) + rng.uniform(0, 1)
        return record(heading, shape, radius * pixel, rng, size)

    return draw


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block ends well, and is deleted if it raises."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same files
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_folders(folder: Path, draw: Draw, classes: Sequence[str], n: int, file: str, write: Callable) -> None:
    """n recordings of every class: CLASS/FILE, where {c} stands for the class and {i} for the number."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            write(folder / name / file.format(c=name, i=i), draw(label))


def _write_split(classes: Sequence[str], folder: Path, draw: Draw, train: int, test: int) -> None:
    for split, n in (("Train", train), ("Test", test)):
        _write_folders(folder / split, draw, classes, n, "{i:05d}.bin", write_atis)


def _write_cifar10dvs(folder: Path, draw: Draw, train: int, test: int) -> None:
    _write_folders(folder, draw, CIFAR10_CLASSES, train + test, "cifar10_{c}_{i}.aedat", write_aedat2)


def _write_ncaltech101(folder: Path, draw: Draw, train: int, test: int) -> None:
    classes = [f"class_{i:03d}" for i in range(101)]
    _write_folders(folder, draw, classes, train + test, "image_{i:04d}.bin", write_atis)


def _write_gestures(folder: Path, draw: Draw, train: int, test: int) -> None:
    trials = [f"user{i + 1:02d}_lab.aedat" for i in range(train + test)]
    for trial in trials:
        parts, rows = [], [gestures.LABELS_HEADER]
        for label in range(len(gestures.CLASSES)):
            start = PAUSE + label * (DURATION + PAUSE)
            events = draw(label)
            events["t"] += start
            parts.append(events)
            rows.append(f"{label + 1},{start},{start + DURATION}")
        write_aedat3(folder / trial, np.concatenate(parts))
        gestures.labels_of(folder / trial).write_text("\n".join(rows) + "\n")
    for split, names in (("train", trials[:train]), ("test", trials[train:])):
        (folder / gestures.LISTS[split]).write_text("".join(f"{name}\n" for name in names))


WRITERS: dict[str, Callable[[Path, Draw, int, int], None]] = {
    "dvs128": _write_gestures,
    "cifar10dvs": _write_cifar10dvs,
    "ncaltech101": _write_ncaltech101,
    "nmnist": partial(_write_split, DIGITS),
    SYNTHETIC_SET: partial(_write_split, DIRECTIONS),
}
