"""What a recording is: a stream of events, and where it lies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])
"""An event: column x and row y counted from the upper left corner, time t in microseconds, polarity p: 0 darker (OFF),
1 brighter (ON)."""


@dataclass(frozen=True)
class Recording:
    """A labelled recording: a file, or the part start <= t < end of it, in microseconds. `group`: whose it is."""

    path: Path
    name: str
    label: int
    start: int | None = None
    end: int | None = None
    group: str | None = None

    def cut(self, events: np.ndarray) -> np.ndarray:
        """The part of the file's events that belongs to this recording."""
        if self.start is None:
            return events
        return events[(events["t"] >= self.start) & (events["t"] < self.end)]


def make_events(x: np.ndarray, y: np.ndarray, t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """A structured array of type EVENT from its columns."""
    events = np.empty(len(t), EVENT)
    for name, column in zip("xytp", (x, y, t, p), strict=True):
        events[name] = column
    return events
