"""The event sets known by name: where their files lie, and who belongs to which split."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..listing import is_debris, list_files
from . import gestures
from .formats import read_aedat2, read_aedat3, read_atis
from .recording import Recording
from .splits import nine_to_one, same_contents
from .synthetic import DIRECTIONS, SIZE, SYNTHETIC_SET, draw_synthetic_set

SYNTHETIC_FOLDER = "synthetic-events-1"  # the number changes with what is drawn
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Parts:
    """All recordings of a data set: names of the classes, training and test split; files that are none, by reason."""

    class_names: tuple[str, ...]
    train: list[Recording]
    test: list[Recording]
    passed_over: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class EventSet:
    """An event set.

    Args:
        folders: where its files may lie below the data root; the first is where we expect them.
        page: where it is published.
        size: (H, W) of the sensor.
        classes: how many there are.
        read: events of a file.
        parts: the recordings in a folder; raises ValueError or FileNotFoundError.
        directed: whether a mirrored or turned recording is one of another class.
        draw: makes the first of the folders where it is missing; None: the files are published.
    """

    folders: tuple[str, ...]
    page: str
    size: tuple[int, int]
    classes: int
    read: Callable[[Path], np.ndarray]
    parts: Callable[[Path], Parts]
    directed: bool = False
    draw: Callable[[Path], None] | None = None

    def status(self, name: str, root: Path) -> str:
        """A line on whether the set is there, by its folders, lists and tables; no recording is read whole."""
        try:
            self.find(name, root)
            return "found"
        except FileNotFoundError as error:
            return "drawn on its first use" if self.draw else str(error).splitlines()[0].removeprefix(f"{name}: ")
        except ValueError as error:
            return f"damaged: {error}"

    def find(self, name: str, root: Path) -> Parts:
        """The recordings of the set called `name` below `root`.

        Raises:
            FileNotFoundError: missing files, with their place and where to get them.
            ValueError: damaged lists, empty class folders, labels outside the range.
        """
        folders = [root / folder for folder in self.folders]
        there = [folder for folder in folders if folder.is_dir()]
        # the innermost: unpackers may put the files a folder deeper
        folder = max(there, key=lambda path: len(path.parts), default=folders[0])
        try:
            return self.parts(folder)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{name}: missing {error}\n"
                f"Put it there, or point --data-root (root=) or $FSVAE_TCJA_DATA to the folder that has "
                f"{self.folders[0]}/. The data set is published at {self.page}"
            ) from None


def _gestures(folder: Path) -> Parts:
    """DvsGesture/: user*.aedat, user*_labels.csv, trials_to_train.txt, trials_to_test.txt."""
    parts: dict[str, list[Recording]] = {}
    for split, name in gestures.LISTS.items():
        if not (folder / name).is_file():
            raise FileNotFoundError((folder / name).absolute())
        trials = gestures.read_trials(folder / name)
        parts[split] = [gesture for trial in trials for gesture in gestures.read_labels(trial)]
    return Parts(gestures.CLASSES, parts["train"], parts["test"])


def _split_folders(classes: Sequence[str], folder: Path) -> Parts:
    """Train/CLASS/*.bin and Test/CLASS/*.bin."""
    passed_over: Counter[str] = Counter()
    train, test = (_by_class(folder, folder / split, classes, ".bin", passed_over) for split in ("Train", "Test"))
    return Parts(tuple(classes), train, test, passed_over)


def _class_folders(classes: Sequence[str] | int, suffix: str, folder: Path) -> Parts:
    """CLASS/*SUFFIX, split 9:1; `classes` names, or the number of folders, whose names are then sorted."""
    passed_over: Counter[str] = Counter()
    if isinstance(classes, int):
        names = _subfolders(folder)
        if len(names) != classes:
            raise ValueError(
                f"{folder.absolute()} must hold {classes} class folders, found {len(names)}; unpack it again"
            )
        classes = names
    recordings = _by_class(folder, folder, classes, suffix, passed_over)
    return Parts(tuple(classes), *nine_to_one(recordings, same_contents(recordings)), passed_over)


def _by_class(
    top: Path, folder: Path, classes: Sequence[str], suffix: str, passed_over: Counter[str]
) -> list[Recording]:
    """The recordings folder/CLASS/*SUFFIX sorted by class and name; they are named by their path below `top`.

    Which files count is the rule of `data/listing.py`; what else lies there is counted in `passed_over`, by reason.
    """
    found = _subfolders(folder)
    if missing := [name for name in classes if name not in found]:
        raise FileNotFoundError((folder / missing[0]).absolute())
    if strange := [name for name in found if name not in classes]:
        raise ValueError(
            f"{folder.absolute()} has a class folder {strange[0]!r}, expected {', '.join(classes)}; move it away"
        )
    listing = list_files(folder, lambda name: name.lower().endswith(suffix))
    passed_over.update(listing.passed_over)
    recordings = []
    for label, name in enumerate(classes):
        paths = [folder / path for path in listing.files if path.parts[0] == name]
        if not paths:
            raise ValueError(
                f"the class folder {(folder / name).absolute()} is empty: expected *{suffix}; unpack it again"
            )
        recordings += [Recording(path, path.relative_to(top).as_posix(), label) for path in paths]
    return recordings


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(folder.absolute())
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_debris(path.name))


DIGITS = tuple(map(str, range(10)))

EVENT_SETS: dict[str, EventSet] = {
    "dvs128": EventSet(
        ("DvsGesture", "DVS128Gesture/extract/DvsGesture"),
        "https://research.ibm.com/interactive/dvsgesture/ (DvsGesture.tar.gz)",
        (128, 128),
        len(gestures.CLASSES),
        read_aedat3,
        _gestures,
        directed=True,
    ),
    "cifar10dvs": EventSet(
        ("CIFAR10DVS", "CIFAR10DVS/extract"),
        "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 (airplane.zip ... truck.zip)",
        (128, 128),
        len(CIFAR10_CLASSES),
        read_aedat2,
        partial(_class_folders, CIFAR10_CLASSES, ".aedat"),
    ),
    "ncaltech101": EventSet(
        ("NCALTECH101/Caltech101", "NCaltech101/extract/Caltech101"),
        "https://www.garrickorchard.com/datasets/n-caltech101 (Caltech101.zip)",
        (180, 240),
        101,
        read_atis,
        partial(_class_folders, 101, ".bin"),
    ),
    "nmnist": EventSet(
        ("NMNIST", "NMNIST/extract"),
        "https://www.garrickorchard.com/datasets/n-mnist (Train.zip, Test.zip)",
        (34, 34),
        len(DIGITS),
        read_atis,
        partial(_split_folders, DIGITS),
    ),
    SYNTHETIC_SET: EventSet(
        (SYNTHETIC_FOLDER,),
        "nowhere: it is drawn",
        SIZE,
        len(DIRECTIONS),
        read_atis,
        partial(_split_folders, DIRECTIONS),
        directed=True,
        draw=draw_synthetic_set,
    ),
}
