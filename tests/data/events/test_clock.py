"""Clocks of cameras: stamps that wrap, resets, stale stamps, steps back: by time refused, by count left out."""

import logging
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from classifiers.config import ClassifierConfig
from classifiers.files import read_inputs
from fsvae_tcja.data import events as events_package
from fsvae_tcja.data.events import load_events, to_frames
from fsvae_tcja.data.events.formats import read_aedat2, read_aedat3, read_atis, write_atis
from fsvae_tcja.data.events.recording import make_events
from fsvae_tcja.utils import once

from .test_formats import draw, packet, word
from .writers import AEDAT2_HEADER, AEDAT3_HEADER, write_aedat2, write_aedat3, write_synthetic

TIMES = np.arange(1000) * 300  # of a recording of 0.3 s
FORMATS = {  # write, read, bits of a stamp
    "aedat3": (write_aedat3, read_aedat3, 31),
    "aedat2": (write_aedat2, read_aedat2, 32),
    "atis": (write_atis, read_atis, 23),
}


def recording(t, size=(34, 34), seed=0):
    """Random events at these times."""
    t = np.asarray(t)
    events = draw(len(t), size, seed=seed)
    events["t"] = t
    return events


def write_stamps(path, name, events):
    """As the camera does that knows no more than its stamps."""
    t = events["t"] % (1 << FORMATS[name][2])
    if name == "aedat2":
        address = (127 - events["x"].astype(np.uint32)) << 8 | (127 - events["y"].astype(np.uint32)) << 1
        words = np.stack([address | (1 - events["p"]).astype(np.uint32), t.astype(np.uint32)], 1)
        path.write_bytes(AEDAT2_HEADER + words.astype(">u4").tobytes())
    elif name == "aedat3":  # whose writer leaves the packets' overflow at 0
        pairs = [
            (word(int(x), int(y), int(p)), int(at)) for x, y, p, at in zip(*(events[c] for c in "xyp"), t, strict=True)
        ]
        path.write_bytes(AEDAT3_HEADER + packet(pairs))
    else:
        write_atis(path, make_events(events["x"], events["y"], t, events["p"]))
    return path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("before", [1, 500, 999])
def test_stamps_that_wrap_are_unwrapped(tmp_path, name, before):
    """A clock that starts again at 0 in the middle of a recording: the times are those of a clock that does not."""
    period = 1 << FORMATS[name][2]
    events = recording(TIMES + period - TIMES[before] + 100)
    found = FORMATS[name][1](write_stamps(tmp_path / "a", name, events))
    assert np.array_equal(found, events)


@pytest.mark.parametrize("name", FORMATS)
def test_an_event_from_before_the_wrap_may_come_after_it(tmp_path, name):
    period = 1 << FORMATS[name][2]
    events = recording([period - 300, period - 3, period + 5, period - 1, period + 9, *(TIMES + period + 10)])
    found = FORMATS[name][1](write_stamps(tmp_path / "a", name, events))
    assert np.array_equal(found, events)


def test_two_wraps(tmp_path):
    events = recording(np.arange(20_000) * 1000)  # 20 s, a stamp of an ATIS wraps after 8.4
    assert np.array_equal(read_atis(write_stamps(tmp_path / "a", "atis", events)), events)


# what the clock does not place

EVENTS_PAGE = Path(events_package.__file__).with_name("README.md")
FAULTS = {  # times; events left out; what is said
    "stale first stamp, later": (
        [5_000_000, *TIMES],
        [0],
        "steps back by 5,000,000 microseconds at event 1 of 1,001, from 5,000,000 to 0",
    ),
    "stale first stamp, earlier": (
        [7, *(TIMES + 2_000_000)],
        [0],
        "leaps ahead by 1,999,993 microseconds at event 1 of 1,001, from 7 to 2,000,000",
    ),
    "reset": (
        [*(TIMES[:400] + 7_000_000), *TIMES[400:]],
        range(400),
        "steps back by 6,999,700 microseconds at event 400 of 1,000, from 7,119,700 to 120,000",
    ),
    "stray stamp": (
        [*TIMES[:500], 6_000_000, *TIMES[500:]],
        [500],
        "leaps ahead by 5,850,300 microseconds at event 500 of 1,001, from 149,700 to 6,000,000",
    ),
    "stray stamp, earlier": (
        [*(TIMES[:500] + 90_000), 3, *(TIMES[500:] + 90_000)],
        [500],
        "steps back by 239,697 microseconds at event 500 of 1,001, from 239,700 to 3",
    ),
    "last stamp": (
        [*TIMES, 7_000_000],
        [1000],
        "leaps ahead by 6,700,300 microseconds at event 1,000 of 1,001, from 299,700 to 7,000,000",
    ),
}


@pytest.fixture(params=FAULTS)
def fault(request, tmp_path):
    """A set with one recording whose clock is at fault, its place, the events, those that belong, what is said."""
    once.warn_once.cache_clear()
    write_synthetic("nmnist", tmp_path, train=1, test=1)
    path = tmp_path / "NMNIST" / "Test" / "3" / "00000.bin"
    t, out, said = FAULTS[request.param]
    events = recording(t)
    write_atis(path, events)
    return tmp_path, path, events, np.delete(events, list(out)), said


def test_by_time_it_is_refused_with_file_place_and_size(fault):
    root, path, _, _, said = fault
    start = f"{path}: the clock {said}, the first of "
    with pytest.raises(ValueError, match=f"^{re.escape(start)}.*: slice by count, which leaves out what") as error:
        load_events("nmnist", "test", T=4, by="time", root=root)
    assert "\n" not in str(error.value)


def test_by_count_it_is_left_out_and_told_every_time(fault, caplog):
    root, _, events, belonging, _ = fault
    line = (
        f"nmnist, test: left out {len(events) - len(belonging):,} events of 1 recordings, which their cameras' clocks"
    )
    for _ in range(2):  # from the recording, and from the cache
        once.warn_once.cache_clear()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            data = load_events("nmnist", "test", T=4, root=root)
        assert np.array_equal(data[3][0], to_frames(belonging, 4, (34, 34)))
        assert [record.message for record in caplog.records] == list(data.notes)
        assert len(data.notes) == 1 and data.notes[0].startswith(line)
        assert "most of Test/3/00000.bin: " in data.notes[0]


def test_a_file_that_is_predicted_is_treated_alike(fault, caplog):
    _, path, events, belonging, said = fault
    config = ClassifierConfig(shape=(2, 34, 34), T=4, classes=2, layers="FC2 LIF")
    with pytest.raises(ValueError, match=re.escape(f"{path}: the clock {said}")):
        list(read_inputs(path, config, "time"))
    with caplog.at_level(logging.WARNING):
        ((_, x),) = read_inputs(path, config)
    assert np.array_equal(x[:, 0], to_frames(belonging, 4, (34, 34)))
    out = len(events) - len(belonging)
    assert [record.message for record in caplog.records] == [
        f"{path}: left out {out} of {len(events):,} events, which the camera's clock does not place"
    ]


@pytest.mark.parametrize("by", ["count", "time"])
@pytest.mark.parametrize(
    "t",
    [
        TIMES - 900 * (np.arange(1000) % 200 == 7) + 1000,  # some events 0.6 ms late
        np.r_[TIMES, TIMES + 5_000_000],  # a pause between two movements
        np.r_[TIMES, TIMES[-1] + 100_000],
    ],
    ids=["late events", "pause", "one more"],
)
def test_what_cameras_do_is_taken_as_it_is(tmp_path, t, by):
    write_synthetic("nmnist", tmp_path, train=1, test=1)
    events = recording(t)
    (tmp_path / "NMNIST" / "Test" / "3" / "00000.bin").unlink()
    write_stamps(tmp_path / "NMNIST" / "Test" / "3" / "00000.bin", "atis", events)
    data = load_events("nmnist", "test", T=4, by=by, root=tmp_path)
    assert np.array_equal(data[3][0], to_frames(events, 4, (34, 34), by)) and data.notes == ()


def test_a_recording_in_pieces_is_refused(tmp_path):
    """Each piece a minute before the last: fewer than half of the events are of one clock."""
    write_synthetic("cifar10dvs", tmp_path, train=9, test=1)
    path = tmp_path / "CIFAR10DVS" / "cat" / "cifar10_cat_0.aedat"
    write_aedat2(path, recording(np.concatenate([TIMES + start * 60_000_000 for start in (3, 2, 1)])))
    message = f"{path}: the clock steps back by 60,299,700 microseconds at event 1,000 of 3,000, .* fewer than half of"
    with pytest.raises(ValueError, match=message):
        for split in ("train", "test"):
            load_events("cifar10dvs", split, T=4, root=tmp_path, validation=0)


# events that are all marked as none


def test_aedat3_without_the_mark_of_valid_events(tmp_path):
    events = [(word(3, 4, 1, valid=0), 10), (word(5, 6, 0, valid=0), 11)]
    (tmp_path / "a").write_bytes(AEDAT3_HEADER + packet(events))
    with pytest.raises(
        ValueError, match=r"a: none of its 2 polarity events is marked valid \(bit 0 of .* set it; "
    ) as e:
        read_aedat3(tmp_path / "a")
    assert "fetch it again" not in str(e.value)


def test_the_mark_is_set_as_the_page_says(tmp_path, monkeypatch):
    """The lines in README.md make a file that is read."""
    page = EVENTS_PAGE.read_text("utf-8")
    code = re.search(r"```py\n(import numpy.*?)```", page, re.DOTALL)[1]
    events = draw(9000)
    write_aedat3(tmp_path / "marked.aedat", events)
    data = bytearray((tmp_path / "marked.aedat").read_bytes())
    position = len(AEDAT3_HEADER)
    while position < len(data):  # a writer that never sets the mark
        (n,) = struct.unpack_from("<i", data, position + 20)
        for i in range(n):
            data[position + 28 + 8 * i] &= 0xFE
        position += 28 + 8 * n
    (tmp_path / "user.aedat").write_bytes(data)
    with pytest.raises(ValueError, match="marked valid"):
        read_aedat3(tmp_path / "user.aedat")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert np.array_equal(read_aedat3(tmp_path / "user-marked.aedat"), events)


def test_aedat2_of_events_from_outside(tmp_path):
    (tmp_path / "a").write_bytes(AEDAT2_HEADER + struct.pack(">4I", 0x8000, 1, 0x8000, 2))
    with pytest.raises(
        ValueError, match=r"a: all its 2 events are marked as from outside .*: leave the recording out$"
    ):
        read_aedat2(tmp_path / "a")
