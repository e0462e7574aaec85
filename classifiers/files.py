"""Single files as a network takes them: images, and event recordings in every format that is read."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fsvae_tcja.data.events import to_frames
from fsvae_tcja.data.events.clock import placed
from fsvae_tcja.data.events.formats import read_aedat2, read_aedat3, read_atis
from fsvae_tcja.data.events.frames import SliceBy
from fsvae_tcja.data.events.gestures import labels_of, read_labels
from fsvae_tcja.data.image_file import Header, is_image, read_header, read_image
from fsvae_tcja.data.inputs import time_first, to_input
from fsvae_tcja.utils.foreign import reading

from .config import ClassifierConfig

log = logging.getLogger(__name__)

READERS = {b"#!AER-DAT2.0": read_aedat2, b"#!AER-DAT3.1": read_aedat3}  # .aedat by its first line


def read_inputs(path: Path, config: ClassifierConfig, slices: SliceBy = "count") -> Iterator[tuple[str, Tensor]]:
    """The inputs of a file with their names: one, or each gesture of a DVS128 recording that has its table of labels.

    Args:
        path: an image (png, jpg, ...) or a recording: .bin (ATIS) or .aedat (2.0, 3.1).
        config: of the model.
        slices: how a recording is cut into T frames.

    Yields:
        name, and an image [1, C, H, W] or frames [T, 1, 2, H, W].

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, is of another kind than the model's input, or has events outside its sensor.
    """
    channels, height, width = config.shape
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    if is_image(path.name):
        if channels not in (1, 3):
            raise ValueError(f"{path} is an image, the model takes events {list(config.shape)}")
        if changes := _changes(read_header(path), channels, height):
            log.warning(f"{path}: {', '.join(changes)}")
        yield str(path), to_input(read_image(path, channels, height)[None])
        return
    if channels != 2:
        raise ValueError(f"{path} is no image (.png, .jpg or what else Pillow reads), and the model takes images")
    for name, events in _recordings(path):
        try:
            kept = placed(events, slices)
            frames = to_frames(kept, config.T, (height, width), slices)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if len(kept) < len(events):
            n = len(events) - len(kept)
            log.warning(f"{name}: left out {n:,} of {len(events):,} events, which the camera's clock does not place")
        yield name, time_first(to_input(torch.from_numpy(frames)[None]))


def _changes(header: Header, channels: int, size: int) -> list[str]:
    """What is done to an image for a model of so many channels and pixels, in words."""
    found = list(header.conversions)
    if channels == 1 and not header.grey:
        found.append("colours brought to grey levels, as the model takes them")
    if header.size != (size, size):
        cut = ", the central square" if header.width != header.height else ""
        found.append(f"from {header.width} x {header.height} to {size} x {size} pixels, PIL bilinear{cut}")
    return found


def _recordings(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    if path.suffix.lower() == ".bin":
        yield str(path), read_atis(path)
        return
    with reading(path, "cannot be read"), path.open("rb") as file:
        version = file.readline(80).strip()
    if version not in READERS:
        raise ValueError(f"{path} is no recording that is known: expected .bin (ATIS), or .aedat of version 2.0 or 3.1")
    events = READERS[version](path)
    if version.endswith(b"3.1") and labels_of(path).is_file():
        for gesture in read_labels(path):
            assert gesture.start is not None and gesture.end is not None
            yield f"{path}, {gesture.start / 1e6:.1f} to {gesture.end / 1e6:.1f} s", gesture.cut(events)
    else:
        yield str(path), events
