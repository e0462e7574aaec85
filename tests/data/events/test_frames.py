"""Frames of recordings: closed forms, tonic's frames, symmetries, bad input."""

import re

import numpy as np
import pytest

from fsvae_tcja.data.events import to_frames
from fsvae_tcja.data.events.recording import make_events

from .test_formats import draw

SIZE = (5, 7)  # H, W


def test_slices_by_hand():
    """Seven events in three frames: 7 // 3 = 2, 2, and the other three."""
    events = make_events([0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 0, 1], [0, 1, 2, 3, 4, 50, 90], [0, 1, 0, 1, 0, 1, 1])
    by_count = to_frames(events, 3, SIZE)
    assert by_count.dtype == np.int16 and by_count.shape == (3, 2, *SIZE)
    assert np.argwhere(by_count).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 1],
        [1, 0, 2, 2],
        [1, 1, 3, 3],
        [2, 0, 4, 4],
        [2, 1, 0, 5],
        [2, 1, 1, 6],
    ]
    by_time = to_frames(events, 3, SIZE, "time")  # 30 microseconds each
    assert by_time.sum((1, 2, 3)).tolist() == [5, 1, 1]
    assert np.argwhere(by_time[1:]).tolist() == [[0, 1, 0, 5], [1, 1, 1, 6]]


@pytest.mark.parametrize("n", [4, 5, 7, 100, 1003])
@pytest.mark.parametrize("T", [1, 3, 4])
@pytest.mark.parametrize("by", ["count", "time"])
def test_every_event_is_counted_once(n, T, by):
    events = draw(n, SIZE)
    frames = to_frames(events, T, SIZE, by)
    counts = np.zeros((2, *SIZE), int)
    for x, y, _, p in events.tolist():
        counts[p, y, x] += 1
    assert np.array_equal(frames.sum(0), counts)
    if by == "count":
        assert frames.sum((1, 2, 3)).tolist() == [n // T] * (T - 1) + [n // T + n % T]


def test_time_slices_are_intervals():
    events = draw(1000, SIZE)
    T, t = 6, events["t"]
    length = (t.max() - t.min()) // T
    for j, frame in enumerate(to_frames(events, T, SIZE, "time")):
        end = t.max() + 1 if j == T - 1 else t.min() + (j + 1) * length
        assert frame.sum() == ((t >= t.min() + j * length) & (t < end)).sum()


def test_empty_slices_of_time_are_empty_frames():
    events = make_events([0, 1, 2], [0, 0, 0], [0, 1, 1000], [1, 1, 1])
    assert to_frames(events, 3, SIZE, "time").sum((1, 2, 3)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("by", ["count", "time"])
def test_frames_are_those_of_tonic_where_the_slices_are_even(by):
    tonic = pytest.importorskip("tonic.functional")
    events = draw(1200, SIZE, end=10_000)
    events["t"][0], events["t"][-1] = 0, 12_000
    bins = {"n_event_bins": 6} if by == "count" else {"n_time_bins": 6}
    theirs = tonic.to_frame_numpy(events, (*SIZE[::-1], 2), **bins)
    ours = to_frames(events, 6, SIZE, by)
    if by == "time":
        ours[-1, events["p"][-1], events["y"][-1], events["x"][-1]] -= 1  # tonic leaves the very last event out
    assert np.array_equal(ours, theirs)


def test_slices_by_count_do_not_look_at_the_clock():
    events = draw(100, SIZE)
    frames = to_frames(events, 4, SIZE)
    events["t"] = 0
    assert np.array_equal(to_frames(events, 4, SIZE), frames)


def test_slices_by_time_do_not_look_at_the_order():
    events = draw(100, SIZE)
    shuffled = np.random.default_rng(1).permutation(events)
    assert np.array_equal(to_frames(events, 4, SIZE, "time"), to_frames(shuffled, 4, SIZE, "time"))


def test_input_is_left_alone():
    events = draw(50, SIZE)
    before = events.copy()
    to_frames(events, 4, SIZE)
    assert np.array_equal(events, before)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("p", 2, "expected events of 2 polarities, p = 0 and 1, found p = 0 to 2"),
        ("p", -1, "expected events of 2 polarities, p = 0 and 1, found p = -1 to 1"),
        ("x", 7, "expected events of a sensor of 5 x 7 pixels (H x W), found x = 0 to 7"),
        ("y", 5, "expected events of a sensor of 5 x 7 pixels (H x W), found y = 0 to 5"),
        ("y", -1, "found y = -1 to 4"),
    ],
)
def test_wrong_polarities_and_places(column, value, message):
    events = draw(200, SIZE)
    events[column][17] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        to_frames(events, 4, SIZE)


def test_too_few_events():
    with pytest.raises(ValueError, match="3 events are too few for 4 frames; use a smaller T or leave"):
        to_frames(draw(3, SIZE), 4, SIZE)
    with pytest.raises(ValueError, match="0 events are too few"):
        to_frames(draw(0, SIZE), 1, SIZE)


def test_too_short_a_time():
    events = draw(10, SIZE)
    events["t"] = np.arange(10) // 4
    with pytest.raises(ValueError, match="2 microseconds are too short for 4 frames by time; slice by count"):
        to_frames(events, 4, SIZE, "time")


def test_wrong_settings():
    with pytest.raises(ValueError, match="T must be at least 1 frame, found 0"):
        to_frames(draw(10, SIZE), 0, SIZE)
    with pytest.raises(ValueError, match=re.escape("by must be one of ['count', 'time'], found 'number'")):
        to_frames(draw(10, SIZE), 2, SIZE, "number")


def test_counts_that_do_not_fit():
    events = np.repeat(draw(1, SIZE), 2**15)
    assert to_frames(events[1:], 1, SIZE).max() == 2**15 - 1
    with pytest.raises(ValueError, match="a pixel has 32768 events in a frame, more than 32767; use a larger T"):
        to_frames(events, 1, SIZE)
