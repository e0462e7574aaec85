"""Writing the published event sets: their formats, and moving shapes as their files and folders."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fsvae_tcja.data.events import EVENT_SETS, gestures
from fsvae_tcja.data.events.formats import (
    AEDAT3_EVENT,
    AEDAT3_PACKET,
    END_OF_HEADER,
    POLARITY,
    check_range,
    write_atis,
)
from fsvae_tcja.data.events.moving import DURATION, HEADINGS, SHAPES, record
from fsvae_tcja.data.events.sources import CIFAR10_CLASSES, DIGITS
from fsvae_tcja.data.events.synthetic import SYNTHETIC_SET, draw_synthetic_set
from fsvae_tcja.utils.atomic import replacing, replacing_folder

PACKET_EVENTS = 4096
AEDAT3_HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 1970-01-01 00:00:00 (TZ+0000)\r\n"
    + END_OF_HEADER
    + b"\r\n"
)
AEDAT2_HEADER = (
    b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event\r\n"
    b"# Timestamps tick is 1 us\r\n"
)
PAUSE = 50_000  # microseconds between two gestures of a recording
Draw = Callable[[int], np.ndarray]  # events of a new recording of a class


def write_aedat3(path: str | Path, events: np.ndarray) -> None:
    """Write AEDAT 3.1. Times up to 2^62 microseconds.

    Raises:
        ValueError: values that the format cannot hold.
    """
    check_range(path, events, x=2**15, y=2**15, t=2**62)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(AEDAT3_HEADER)
        for part in _packets(events):
            n = len(part)
            header = (POLARITY, 1, AEDAT3_EVENT.itemsize, 4, int(part["t"][0] >> 31), n, n, n)
            words = np.empty(n, AEDAT3_EVENT)
            x, y, p = (part[name].astype(np.uint32) for name in "xyp")
            words["data"] = x << 17 | y << 2 | p << 1 | 1
            words["t"] = part["t"] & 0x7FFFFFFF
            file.write(np.array(header, AEDAT3_PACKET).tobytes() + words.tobytes())


def _packets(events: np.ndarray) -> list[np.ndarray]:
    """Runs of events whose times have the same bits from 31 on, PACKET_EVENTS at most."""
    runs = np.split(events, np.flatnonzero(np.diff(events["t"] >> 31)) + 1)
    return [run[i : i + PACKET_EVENTS] for run in runs for i in range(0, len(run), PACKET_EVENTS)]


def write_aedat2(path: str | Path, events: np.ndarray) -> None:
    """Write AEDAT 2.0 of a DVS128. 128 x 128 pixels, times up to 2^31 microseconds.

    Raises:
        ValueError: values that the format cannot hold.
    """
    check_range(path, events, x=128, y=128, t=2**31)
    x, y, p = (events[name].astype(np.uint32) for name in "xyp")
    address = (127 - x) << 8 | (127 - y) << 1 | (1 - p)
    with replacing(path) as temporary:
        temporary.write_bytes(AEDAT2_HEADER + np.stack([address, events["t"]], 1).astype(">u4").tobytes())


def write_synthetic(name: str, root: Path, *, train: int = 4, test: int = 2, seed: int = 0) -> Path:
    """Write moving shapes as the files and folders of an event set.

    In "synthetic-events" a class is a direction. In the other sets, class i moves in direction i mod 8, with shape
    i // 8 mod 5 and a size that grows with i // 40.

    Args:
        name: of `EVENT_SETS`.
        root: the data root; the set's first folder is made below it.
        train: training recordings of each class; of dvs128, files that hold all classes.
        test: the same for the test split. Sets without a published split hold train + test recordings.
        seed: of everything; the synthetic set has seed 0.

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
    if name == SYNTHETIC_SET:
        draw_synthetic_set(folder, train, test)
        return folder
    draw = _drawer(EVENT_SETS[name].size, np.random.default_rng(seed))
    with replacing_folder(folder) as temporary:
        WRITERS[name](temporary, draw, train, test)
    return folder


def _drawer(size: tuple[int, int], rng: np.random.Generator) -> Draw:
    def draw(label: int) -> np.ndarray:
        heading, shape = list(HEADINGS)[label % 8], list(SHAPES)[label // 8 % 5]
        radius = 3 + 1.5 * (label // 40) + rng.uniform(0, 1)
        return record(heading, shape, radius * min(size) / 34, rng, size)

    return draw


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
}
