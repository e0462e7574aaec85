"""The door to the event sets."""

from pathlib import Path

import torch
from torch import Tensor

from ..load import data_root
from ..splits import validation_groups, validation_split
from .cache import FrameCache
from .dataset import EventFrames
from .frames import SliceBy
from .recording import Recording
from .sources import EVENT_SETS
from .synthetic import SYNTHETIC_SET, write_synthetic_set

SPLITS = ("train", "valid", "test")


def load_events(
    name: str,
    split: str,
    *,
    T: int,
    by: SliceBy = "count",
    root: str | Path | None = None,
    valid: float = 0.1,
    seed: int = 0,
    cache: str | Path | None = None,
) -> EventFrames:
    """A split of an event set, its recordings cut into T frames. Nothing is augmented.

    | name             | files below `root`                                                     | test split          |
    |------------------|------------------------------------------------------------------------|---------------------|
    | dvs128           | DvsGesture/: user*.aedat, user*_labels.csv, trials_to_{train,test}.txt | the published lists |
    | cifar10dvs       | CIFAR10DVS/CLASS/*.aedat                                               | 9:1, `nine_to_one`  |
    | ncaltech101      | NCALTECH101/Caltech101/CLASS/*.bin, BACKGROUND_Google among 101        | 9:1, `nine_to_one`  |
    | nmnist           | NMNIST/Train/DIGIT/*.bin, NMNIST/Test/DIGIT/*.bin                      | Test/               |
    | synthetic-events | none: drawn on its first use, see `synthetic`                          | drawn               |

    The first call reads every recording of the split and keeps its frames; later ones find them.

    Args:
        name: of the table, which is that of `EVENT_SETS`.
        split: "train", "valid" or "test".
        T: frames of a recording.
        by: slices of equal event "count" or equal "time", see `to_frames`.
        root: folder of the data sets, see `data_root`.
        valid: part of each class of the training split that becomes the split "valid", see `validation_split`; of
            dvs128 part of its subjects, see `validation_groups`.
        seed: of that choice.
        cache: folder of the frames; by default .cache/events below the root.

    Raises:
        FileNotFoundError: missing files; the message names them and where they are published.
        ValueError: an unknown name or split, a damaged recording, list or table, a recording that does not make T
            frames, or tonic is missing.
    """
    if name not in EVENT_SETS:
        raise ValueError(f"unknown event set {name!r}: choose one of {list(EVENT_SETS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {list(SPLITS)}")
    root = data_root(root)
    if name == SYNTHETIC_SET:
        write_synthetic_set(root)
    events = EVENT_SETS[name]
    parts = events.find(name, root)
    recordings = parts.test
    if split != "test":
        train, held = _hold_out(parts.train, valid, seed)
        recordings = [parts.train[i] for i in (held if split == "valid" else train)]
    folder = Path(cache) if cache else root / ".cache" / "events"
    frames = FrameCache(folder / f"{name}-T{T}-{by}", events.read, T, by, events.size)
    frames.fill(recordings, f"{name}, {split}: reading")
    return EventFrames(name, split, recordings, parts.class_names, frames)


def _hold_out(recordings: list[Recording], fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (train, valid): whole groups where there are groups, so that no subject is in both."""
    groups = [recording.group for recording in recordings if recording.group is not None]
    if groups:
        assert len(groups) == len(recordings)
        return validation_groups(groups, fraction, seed)
    return validation_split(torch.tensor([recording.label for recording in recordings]), fraction, seed)
