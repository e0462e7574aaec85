"""Event sets by name."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...utils.once import warn_once
from ...utils.spelling import check_choice, choose
from ..listing import in_words
from ..root import data_root
from ..splits import SPLIT_SEED, validation_groups, validation_split
from .cache import FrameCache
from .dataset import EventFrames
from .frames import SliceBy
from .recording import Recording
from .sources import EVENT_SETS, Parts
from .splits import same_contents

log = logging.getLogger(__name__)

Split = Literal["train", "valid", "test"]


def load_events(
    name: str,
    split: str,
    *,
    T: int,
    by: SliceBy = "count",
    root: str | Path | None = None,
    validation: float = 0.1,
    seed: int = SPLIT_SEED,
    cache: str | Path | None = None,
) -> EventFrames:
    """A split of an event set, its recordings cut into T frames. Nothing is augmented.

    | name               | files below `root`                                            | test split          |
    |--------------------|---------------------------------------------------------------|---------------------|
    | `dvs128`           | `DvsGesture/`: user*.aedat, user*_labels.csv, trials_to_*.txt | the published lists |
    | `cifar10dvs`       | `CIFAR10DVS/`: CLASS/*.aedat                                  | 9:1                 |
    | `ncaltech101`      | `NCALTECH101/Caltech101/`: CLASS/*.bin, 101 classes           | 9:1                 |
    | `nmnist`           | `NMNIST/`: Train/DIGIT/*.bin, Test/DIGIT/*.bin                | Test/               |
    | `synthetic-events` | none: drawn on its first use into `synthetic-events-1/`       | drawn               |

    and whatever was added to `EVENT_SETS`. 9:1 is per class, by the SHA-256 of the recordings' names. The first call
    reads every recording of the split and keeps its frames; later ones find them. What is passed over is told in a
    warning and in `notes` of the data set: hidden and other files, copies, which stay on one side of a split that is
    made here, and, by count, events that the camera's clock does not place.

    Args:
        name: of the table.
        split: "train", "valid" or "test".
        T: frames of a recording.
        by: slices of equal event "count" or equal "time".
        root: folder of the data sets; None: $FSVAE_TCJA_DATA, else ./data.
        validation: part of each class of the training split that becomes the split "valid", in [0, 1); of dvs128 part
            of its subjects.
        seed: of that choice.
        cache: folder of the frames; by default .cache/events below the root.

    Raises:
        FileNotFoundError: missing files; the message names them and where they are published.
        ValueError: an unknown name or split, a damaged recording, list or table, a recording that does not make T
            frames, or (by time) one whose clock was reset or has stale stamps, or tonic is missing.
    """
    events, root = choose(EVENT_SETS, name, "event set"), data_root(root)
    check_choice("split", split, Split)
    if events.draw and not (folder := root / events.folders[0]).is_dir():
        try:
            events.draw(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same files
                raise
    parts = events.find(name, root)
    recordings = parts.test
    if split != "test":
        train, held = _hold_out(parts.train, validation, seed)
        recordings = [parts.train[i] for i in (held if split == "valid" else train)]
    frames = FrameCache(
        (Path(cache) if cache else root / ".cache" / "events") / f"{name}-T{T}-{by}", events.read, T, by, events.size
    )
    frames.fill(recordings, f"{name}, {split}")
    notes = [
        *_passed_over(name, parts.passed_over),
        *_copied(name, parts),
        *_left_out(name, split, frames.left_out(recordings)),
    ]
    for note in notes:
        warn_once(log, note)
    return EventFrames(name, split, recordings, parts.class_names, frames, events.directed, notes)


def _passed_over(name: str, counts: Counter[str]) -> list[str]:
    """A line on the files that are no recordings, unless there are none."""
    return [f"{name}: passed over {in_words(counts)}"] if counts else []


def _copied(name: str, parts: Parts) -> list[str]:
    """A line on recordings that are copies of others, unless there are none."""
    contents = same_contents([*parts.train, *parts.test])
    if not (copies := len(contents) - len({*contents})):
        return []
    train, test = {*contents[: len(parts.train)]}, contents[len(parts.train) :]
    both = len([one for one in test if one in train])
    return [f"{name}: copies of other recordings: {copies:,}; in test, but also in train: {both:,}"]


def _left_out(name: str, split: str, counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """A line on the events that no clock places, unless there are none."""
    if not counts:
        return []
    worst = max(counts, key=lambda one: counts[one][0] / counts[one][1])
    n, whole = counts[worst]
    return [
        f"{name}, {split}: left out {sum(n for n, _ in counts.values()):,} events of {len(counts):,} recordings, which "
        f"their cameras' clocks do not place; most of {worst}: {n:,} of {whole:,}"
    ]


def _hold_out(recordings: list[Recording], fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (train, valid): whole groups where there are groups, so that no subject is in both."""
    groups = [recording.group for recording in recordings if recording.group is not None]
    if groups:
        assert len(groups) == len(recordings)
        return validation_groups(groups, fraction, seed)
    labels, contents = torch.tensor([one.label for one in recordings]), torch.tensor(same_contents(recordings))
    return validation_split(labels, fraction, seed, contents)
