"""Synthetic recordings: no frame tells the direction, time does; the files of every set."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from fsvae_tcja.data.events import EVENT_SETS, load_events, to_frames
from fsvae_tcja.data.events.moving import DURATION, HEADINGS, SHAPES, moving_shape, record
from fsvae_tcja.data.events.synthetic import DIRECTIONS, draw_synthetic_set
from tests.data.events.writers import write_synthetic

SIZE = (34, 30)
OPPOSITE = {
    "right": "left",
    "left": "right",
    "up": "down",
    "down": "up",
    "up right": "down left",
    "down left": "up right",
    "up left": "down right",
    "down right": "up left",
}


def scene(heading, shape="cross", bright=True, radius=4.3, length=17.0, centre=(3.2, 28.9)):
    return moving_shape(shape, radius, centre, tuple(length * step for step in HEADINGS[heading]), bright, SIZE)


def as_set(events):
    return sorted(events.tolist())


def recordings(heading, n, T=8):
    """Frames [n, T, 2, H, W] of n random recordings."""
    rng = np.random.default_rng([list(HEADINGS).index(heading), 7])
    drawn = [record(heading, rng.choice(list(SHAPES)), rng.uniform(3, 6), rng, SIZE) for _ in range(n)]
    return np.stack([to_frames(events, T, SIZE) for events in drawn])


# what the events are


def test_a_bright_square_that_moves_right():
    events = scene("right", "square", radius=3.3, length=8.0, centre=(17.0, 15.0))
    on, off = events[events["p"] == 1], events[events["p"] == 0]
    assert sorted(set(on["y"])) == sorted(set(off["y"])) == list(range(14, 21))  # 17 - 3 .. 17 + 3
    # the right edge goes from 15 - 4 + 3.3 to 15 + 4 + 3.3, the left one the same 6.6 further left
    assert sorted(set(on["x"])) == list(range(15, 23)) and sorted(set(off["x"])) == list(range(8, 16))
    assert len(on) == len(off) == 7 * 8
    first = [on["t"][on["x"] == x].min() for x in range(15, 23)]
    assert (np.diff(first) == DURATION // 8).all()  # a pixel in an eighth of the time


def test_a_dark_shape_has_the_other_polarities():
    bright, dark = scene("up", bright=True), scene("up", bright=False)
    dark["p"] = 1 - dark["p"]
    assert np.array_equal(bright, dark) and len(bright)


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_backwards_in_time_it_is_the_opposite_direction_and_contrast(heading, shape):
    """The same places and polarities in reverse order; with polarities flipped, the contrast is the same."""
    events = scene(heading, shape)
    assert len(events) > 100
    events["t"] = DURATION - events["t"]
    assert as_set(events) == as_set(scene(OPPOSITE[heading], shape, bright=False))
    events["p"] = 1 - events["p"]
    assert as_set(events) == as_set(scene(OPPOSITE[heading], shape, bright=True))


def test_frames_of_a_reversed_recording_are_the_frames_reversed():
    """So a frame of one direction is, polarity and all, a frame of the opposite one."""
    events = scene("right")
    events = events[: len(events) // 8 * 8]
    assert np.array_equal(to_frames(events[::-1], 8, SIZE), to_frames(events, 8, SIZE)[::-1])


def test_the_sensor_is_a_torus():
    here, there = scene("right", centre=(10.5, 3.25)), scene("right", centre=(20.5, 28.25))
    here["y"], here["x"] = (here["y"] + 10) % SIZE[0], (here["x"] + 25) % SIZE[1]
    assert as_set(here) == as_set(there)


# what a classifier can know


@pytest.mark.parametrize("pair", [("right", "left"), ("up", "down")])
def test_no_statistic_of_single_frames_differs_between_opposite_directions(pair):
    """At every step: events in each row, column and polarity, and the dipole, ON ahead of OFF or behind it."""
    statistics = []
    for heading in pair:
        frames = recordings(heading, 200).astype(float)
        dipole = dipoles(frames, axis=-1 if heading in ("right", "left") else -2)
        assert (abs(dipole) > 1).mean() > 0.8  # an edge is ahead of the other in nearly every frame
        features = [frames.sum(-1), frames.sum(-2), frames.sum((-1, -2)), dipole[:, :, None]]
        statistics.append(np.concatenate([feature.reshape(200, -1) for feature in features], 1))
    mean, var = np.mean(statistics, axis=1), np.var(statistics, axis=1)
    z = (mean[0] - mean[1]) / np.sqrt(var.sum(0) / 200)
    assert abs(z).max() < 5 and 0.8 < z.std() < 1.2  # standard normal


def dipoles(frames, axis):
    """Distance [N, T] from the OFF events to the ON events around the torus, along an axis."""
    n = frames.shape[axis]
    counts = frames.sum(-2 if axis == -1 else -1)  # [N, T, 2, n]
    centres = np.angle((counts * np.exp(2j * np.pi * np.arange(n) / n)).sum(-1))
    return np.angle(np.exp(1j * (centres[..., 1] - centres[..., 0]))) * n / (2 * np.pi)


def test_time_tells_the_direction():
    """By the shift, of up to 4 pixels, that best lays each frame on the next: a template of motion, nothing learnt."""
    shifts = {heading: np.array(step) for heading, step in HEADINGS.items() if heading in DIRECTIONS}
    right = total = 0
    for heading in shifts:
        for frames in recordings(heading, 25, T=6).astype(float):
            overlap = {
                name: max(
                    (frames[1:] * np.roll(frames[:-1], (step * k).astype(int), (-2, -1))).sum() for k in range(1, 5)
                )
                for name, step in shifts.items()
            }
            right += max(overlap, key=overlap.get) == heading
            total += 1
    assert right / total > 0.9


def test_recordings_are_drawn_by_their_seed_alone():
    first, again, other = (record("up", "disc", 4.0, np.random.default_rng(seed), SIZE) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert (np.diff(first["t"]) >= 0).all() and first["t"].min() > 0 and first["t"].max() < DURATION


# the files of every set


@pytest.mark.parametrize(
    ("name", "train", "test", "T"), [("dvs128", 2, 1, 5), ("cifar10dvs", 3, 1, 4), ("nmnist", 2, 1, 4)]
)
def test_a_written_set_goes_through_its_own_loader(tmp_path, name, train, test, T):
    folder = write_synthetic(name, tmp_path, train=train, test=test)
    assert folder == tmp_path / EVENT_SETS[name].folders[0]
    for split, n in (("train", train), ("test", test)):
        data = load_events(name, split, T=T, root=tmp_path, validation=0)
        assert data.labels.bincount(minlength=data.classes).tolist() == [n] * data.classes
        frames, labels = data.read(range(len(data)))
        assert frames.shape == (len(data), T, 2, *EVENT_SETS[name].size)
        counts = frames.sum((2, 3, 4))
        assert (counts[:, :-1] == counts[:, :1]).all() and counts.min() > 10
        assert labels.tolist() == data.labels.tolist()


def test_ncaltech101_has_101_classes_and_its_own_sensor(tmp_path):
    write_synthetic("ncaltech101", tmp_path, train=1, test=1)
    data = load_events("ncaltech101", "test", T=2, root=tmp_path)
    assert data.classes == 101 and data.labels.tolist() == list(range(101))
    assert data[100][0].shape == (2, 2, 180, 240)


def test_gestures_are_cut_out_of_their_file(tmp_path):
    """A recording holds eleven, with pauses between them; each gesture has its own events and no others."""
    folder = write_synthetic("dvs128", tmp_path, train=1, test=1)
    events = EVENT_SETS["dvs128"].read(folder / "user01_lab.aedat")
    data = load_events("dvs128", "train", T=3, root=tmp_path, validation=0)
    per_gesture = [int(data[i][0].sum()) for i in range(11)]
    assert sum(per_gesture) == len(events) and min(per_gesture) > 100
    table = folder / "user01_lab_labels.csv"
    rows = table.read_text().splitlines()
    start, end = map(int, rows[4].split(",")[1:])
    rows[4] = f"4,{start},{(start + end) // 2}"  # half of the fourth gesture
    table.write_text("\n".join(rows))
    cut = load_events("dvs128", "train", T=3, root=tmp_path, validation=0)
    inside = (events["t"] >= start) & (events["t"] < (start + end) // 2)
    assert int(cut[3][0].sum()) == inside.sum() < per_gesture[3]


def test_synthetic_events_are_written_once(tmp_path, monkeypatch):
    small = replace(EVENT_SETS["synthetic-events"], draw=partial(draw_synthetic_set, train=3, test=2))
    monkeypatch.setitem(EVENT_SETS, "synthetic-events", small)
    test = load_events("synthetic-events", "test", T=2, root=tmp_path)
    assert test.class_names == DIRECTIONS and test.labels.bincount().tolist() == [2] * 4
    file = test.recordings[0].path
    before = file.stat().st_mtime_ns
    train = load_events("synthetic-events", "train", T=2, root=tmp_path, validation=0)
    assert train.labels.bincount().tolist() == [3] * 4 and file.stat().st_mtime_ns == before


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    def written(root, seed):
        folder = write_synthetic("nmnist", root, train=1, test=1, seed=seed)
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.bin")}

    first, again, other = written(tmp_path / "a", 3), written(tmp_path / "b", 3), written(tmp_path / "c", 4)
    assert first == again and first.keys() == other.keys() and first != other


def test_a_set_is_whole_or_not_there(tmp_path, monkeypatch):
    calls = []

    def fail(path, events):
        calls.append(path)
        if len(calls) == 5:
            raise OSError("disk full")

    monkeypatch.setattr("fsvae_tcja.data.events.synthetic.write_atis", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_synthetic_set(tmp_path / "set")
    assert len(calls) == 5 and not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "NMNIST").mkdir()
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'NMNIST'} is there already; delete it, or choose")):
        write_synthetic("nmnist", tmp_path)
    with pytest.raises(ValueError, match=r"unknown event set 'mnist': choose one of \['dvs128', 'cifar10dvs',"):
        write_synthetic("mnist", tmp_path)
