"""From events to frames of counts."""

from typing import Literal

import numpy as np

from ...utils.spelling import check_choice

SliceBy = Literal["count", "time"]
MOST_EVENTS = np.iinfo(np.int16).max  # of a pixel in a frame


def to_frames(events: np.ndarray, T: int, size: tuple[int, int], by: SliceBy = "count") -> np.ndarray:
    """Count the events of a recording in T slices.

    With n events, slice j < T - 1 holds
        "count": the events j (n // T) .. (j + 1) (n // T) - 1, as the published programs have it, or
        "time": those with j d <= t - t_min < (j + 1) d, d = (t_max - t_min) // T,
    and the last slice all the others.

    Args:
        events: [n] of type EVENT.
        T: number of frames.
        size: (H, W) of the sensor.
        by: "count" or "time".

    Returns:
        int16 [T, 2, H, W]; channel 0 counts darker (OFF), 1 brighter (ON).

    Raises:
        ValueError: T < 1, an unknown `by`, too few events or too short a time for T slices, events outside the sensor
            or of other polarities, more than 32,767 events of a pixel.
    """
    check_slicing(T, by)
    if len(events) < T:
        raise ValueError(f"{len(events)} events are too few for {T} frames; use a smaller T or leave the recording out")
    _check(events, size)
    slices = _by_count(len(events), T) if by == "count" else _by_time(events["t"], T)
    x, y, p = (events[name].astype(np.int64) for name in "xyp")
    pixels = ((slices * 2 + p) * size[0] + y) * size[1] + x
    counts = np.bincount(pixels, minlength=T * 2 * size[0] * size[1])
    if counts.max() > MOST_EVENTS:
        raise ValueError(f"a pixel has {counts.max()} events in a frame, more than {MOST_EVENTS}; use a larger T")
    return counts.reshape(T, 2, *size).astype(np.int16)


def check_slicing(T: int, by: str) -> None:
    """Raise a ValueError unless T >= 1 and `by` is one of SliceBy."""
    if T < 1:
        raise ValueError(f"T must be at least 1 frame, found {T}")
    check_choice("by", by, SliceBy)


def _by_count(n: int, T: int) -> np.ndarray:
    return np.minimum(np.arange(n) // (n // T), T - 1)


def _by_time(t: np.ndarray, T: int) -> np.ndarray:
    length = t.max() - t.min()
    if length < T:
        raise ValueError(f"{length} microseconds are too short for {T} frames by time; slice by count")
    return np.minimum((t - t.min()) // (length // T), T - 1)


def _check(events: np.ndarray, size: tuple[int, int]) -> None:
    limits = {"x": size[1], "y": size[0], "p": 2}
    for name, end in limits.items():
        low, high = events[name].min(), events[name].max()
        if low < 0 or high >= end:
            what = f"2 polarities, p = 0 and 1, found p = {low} to {high}"
            where = f"a sensor of {size[0]} x {size[1]} pixels (H x W), found {name} = {low} to {high}"
            raise ValueError(f"expected events of {what if name == 'p' else where}; is this the right data set?")
