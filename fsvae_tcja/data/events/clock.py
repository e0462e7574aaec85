"""Clocks of event cameras: stamps of few bits that start again at 0, and events that the clock does not place."""

from itertools import pairwise

import numpy as np

from .frames import SliceBy

WRAP_GAP = 100_000  # microseconds from the last event before a wrap to the first after it, at most
MOST_BACK = 1_000, 100  # a step back that is harmless: microseconds, and parts of the recording's span, at most
LONGEST_SILENCE = 10_000_000  # microseconds between two events, at most


def unwrap(t: np.ndarray, bits: int) -> np.ndarray:
    """Times int64 [n] of stamps that start again at 0 after 2^bits microseconds.

    A wrap is a step back of 2^bits, less up to WRAP_GAP; other steps back are left as they are.
    """
    steps, period = np.diff(t), 1 << bits
    wraps = (steps <= WRAP_GAP - period).astype(np.int64)
    wraps -= (steps >= period - MOST_BACK[0]) & (steps < period)  # one from before the wrap, a little late
    level = np.cumsum(wraps)
    level -= np.minimum.accumulate(np.minimum(level, 0))  # nothing is from before the first wrap
    return t + period * np.concatenate([np.zeros(min(1, len(t)), np.int64), level])


def placed(events: np.ndarray, by: SliceBy) -> np.ndarray:
    """The events of a recording that its clock places; all, unless the clock was reset or left stale stamps behind.

    Frames by time need every stamp. For frames by count the longest stretch is kept whose times run on, and the others
    before and behind it that it goes on from or in.

    Args:
        events: [n] of type EVENT, in the order of the file.
        by: how they are to be sliced.

    Raises:
        ValueError: by time: a step back of more than a millisecond or a hundredth of the span, a silence of more than
            10 seconds, or one longer than all the rest that parts a hundredth of the events, or fewer, from the
            others. By count: fewer than half of the events would be left.
    """
    t = events["t"]
    back = _most_back(t)
    breaks = _breaks(t, back)
    if not len(breaks):
        return events
    at = int(breaks[0])
    step = int(t[at]) - int(t[at - 1])
    fault = (
        f"the clock {'steps back' if step < 0 else 'leaps ahead'} by {abs(step):,} microseconds at event {at:,} of "
        f"{len(t):,}, from {t[at - 1]:,} to {t[at]:,}, the first of {len(breaks):,} such places"
    )
    if by == "time":
        raise ValueError(
            f"{fault}; frames by time take steps back of {back:,} microseconds and silences of "
            f"{LONGEST_SILENCE // 1_000_000} seconds at most: slice by count, which leaves out what the clock does not "
            "place, or leave the recording out"
        )
    kept = _longest(t, breaks, back)
    if 2 * kept.sum() < len(t):
        raise ValueError(f"{fault}; fewer than half of the events belong together: leave the recording out")
    return events[kept]


def _most_back(t: np.ndarray) -> int:
    microseconds, parts = MOST_BACK
    return min(microseconds, int(np.ptp(t)) // parts) if len(t) else 0


def _breaks(t: np.ndarray, back: int) -> np.ndarray:
    """Numbers of the events that do not go on from the one before."""
    steps = np.diff(t)
    breaks = np.flatnonzero((steps < -back) | (steps > LONGEST_SILENCE)) + 1
    stale = []
    for start, end in _runs(len(t), breaks):
        if end - start > 1:
            longest = int(steps[start : end - 1].argmax())
            gap, few = steps[start + longest], min(longest + 1, end - start - longest - 1)
            if gap > t[end - 1] - t[start] - gap and few <= len(t) // 100:
                stale.append(start + longest + 1)
    return np.union1d(breaks, np.array(stale, np.int64))


def _runs(n: int, breaks: np.ndarray) -> list[tuple[int, int]]:
    edges = [0, *breaks.tolist(), n]
    return list(pairwise(edges))


def _longest(t: np.ndarray, breaks: np.ndarray, back: int) -> np.ndarray:
    """Which events [n] belong to the longest run, or to others that go on from it."""
    runs = _runs(len(t), breaks)
    middle = max(range(len(runs)), key=lambda i: runs[i][1] - runs[i][0])
    start, end = runs[middle]
    silence = min(LONGEST_SILENCE, int(t[end - 1] - t[start]))
    kept = np.zeros(len(t), bool)
    kept[start:end] = True
    last = end - 1
    for first, end in runs[middle + 1 :]:
        if -back <= t[first] - t[last] <= silence:
            kept[first:end], last = True, end - 1
    first = start
    for start, end in reversed(runs[:middle]):
        if -back <= t[first] - t[end - 1] <= silence:
            kept[start:end], first = True, start
    return kept
