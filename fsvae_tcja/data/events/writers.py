"""Writing recordings in the formats that `formats` reads."""

from pathlib import Path

import numpy as np

from ...utils.atomic import replacing
from .formats import AEDAT3_EVENT, AEDAT3_PACKET, ATIS_BYTES, END_OF_HEADER, POLARITY

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


def write_aedat3(path: str | Path, events: np.ndarray) -> None:
    """Write AEDAT 3.1: see `read_aedat3`. Times up to 2^62 microseconds.

    Raises:
        ValueError: values that the format cannot hold.
    """
    _check(path, events, x=2**15, y=2**15, t=2**62)
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
    """Write AEDAT 2.0 of a DVS128: see `read_aedat2`. 128 x 128 pixels, times up to 2^31 microseconds.

    Raises:
        ValueError: values that the format cannot hold.
    """
    _check(path, events, x=128, y=128, t=2**31)
    x, y, p = (events[name].astype(np.uint32) for name in "xyp")
    address = (127 - x) << 8 | (127 - y) << 1 | (1 - p)
    with replacing(path) as temporary:
        temporary.write_bytes(AEDAT2_HEADER + np.stack([address, events["t"]], 1).astype(">u4").tobytes())


def write_atis(path: str | Path, events: np.ndarray) -> None:
    """Write the 5-byte format of an ATIS: see `read_atis`. Rows below 240, times up to 2^23 microseconds.

    Raises:
        ValueError: values that the format cannot hold.
    """
    _check(path, events, x=256, y=240, t=2**23)  # row 240 marks an overflow of the time
    words = np.empty((len(events), ATIS_BYTES), np.uint8)
    x, y, t, p = (events[name].astype(np.int64) for name in "xytp")
    for i, column in enumerate((x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF)):
        words[:, i] = column
    with replacing(path) as temporary:
        temporary.write_bytes(words.tobytes())


def _check(path: str | Path, events: np.ndarray, **ends: int) -> None:
    for name, end in {**ends, "p": 2}.items():
        values = events[name]
        if len(values) and not (values.min() >= 0 and values.max() < end):
            raise ValueError(
                f"cannot write {path}: {name} must be in 0..{end - 1} in this format, "
                f"found {values.min()} to {values.max()}"
            )
