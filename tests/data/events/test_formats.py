"""Formats of recordings: what is written is read, the published layout byte for byte, damaged files."""

import re
import struct
import sys

import numpy as np
import pytest

from fsvae_tcja.data.events.formats import AEDAT3_PACKET, read_aedat2, read_aedat3, read_atis, write_atis
from fsvae_tcja.data.events.recording import EVENT, make_events
from tests.data.events.writers import AEDAT2_HEADER, AEDAT3_HEADER, write_aedat2, write_aedat3

FORMATS = {
    "aedat3": (write_aedat3, read_aedat3),
    "aedat2": (write_aedat2, read_aedat2),
    "atis": (write_atis, read_atis),
}


def draw(n, size=(128, 128), end=2**23, seed=0):
    """n random events in order of time."""
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(size[1], size=n), rng.integers(size[0], size=n), rng.integers(2, size=n)
    return make_events(x, y, np.sort(rng.integers(end, size=n)), p)


def packet(events, kind=1, size=8, overflow=0, capacity=None, number=None):
    """A packet of AEDAT 3.1 from pairs of words."""
    capacity = len(events) if capacity is None else capacity
    number = len(events) if number is None else number
    header = struct.pack("<2h6i", kind, 1, size, 4, overflow, capacity, number, 0)
    return header + b"".join(struct.pack("<2I", *words) for words in events)


def word(x, y, p, valid=1):
    return x << 17 | y << 2 | p << 1 | valid


# what is written is read


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n", [1, 7, 4096, 9001])
def test_what_is_written_is_read(tmp_path, name, n):
    write, read = FORMATS[name]
    events = draw(n)
    write(tmp_path / "a", events)
    found = read(tmp_path / "a")
    assert found.dtype == EVENT and np.array_equal(found, events)


def test_aedat3_holds_large_sensors_and_long_times(tmp_path):
    events = draw(5000, size=(30_000, 32_000), end=5 * 2**31)
    assert len(np.unique(events["t"] >> 31)) == 5
    write_aedat3(tmp_path / "a", events)
    assert np.array_equal(read_aedat3(tmp_path / "a"), events)


def test_atis_holds_the_sensor_of_ncaltech101(tmp_path):
    events = draw(5000, size=(180, 240))
    write_atis(tmp_path / "a", events)
    assert np.array_equal(read_atis(tmp_path / "a"), events)


def test_events_at_the_edges_of_every_format(tmp_path):
    for name, last in (("aedat3", 2**62 - 1), ("aedat2", 2**31 - 1), ("atis", 2**23 - 1)):
        write, read = FORMATS[name]
        events = make_events([0, 127], [127, 0], [0, last], [1, 0])
        write(tmp_path / name, events)
        assert read(tmp_path / name).tolist() == events.tolist()


# the published layout


def test_aedat3_as_the_page_of_dvs128_gesture_describes_it(tmp_path):
    data = (1234 << 17) | (567 << 2) | (1 << 1) | 1
    header = struct.pack("<2H6I", 1, 0, 8, 4, 0, 1, 1, 1)
    (tmp_path / "a").write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + header + struct.pack("<2I", data, 99))
    assert read_aedat3(tmp_path / "a").tolist() == [(1234, 567, 99, 1)]


def test_aedat3_leaves_out_other_packets_invalid_events_and_unused_room(tmp_path):
    special = packet([(word(1, 1, 1), 5)], kind=0)
    frame = struct.pack("<2h6i", 2, 1, 13, 4, 0, 1, 1, 1) + bytes(13)
    mixed = packet([(word(3, 4, 1), 10), (word(5, 6, 0, valid=0), 11), (word(7, 8, 0), 12), (0, 0)], number=3)
    (tmp_path / "a").write_bytes(AEDAT3_HEADER + special + mixed + frame + packet([(word(9, 9, 1), 13)], overflow=1))
    assert read_aedat3(tmp_path / "a").tolist() == [(3, 4, 10, 1), (7, 8, 12, 0), (9, 9, 2**31 + 13, 1)]


def test_aedat2_is_turned_upright(tmp_path):
    """An address (row 5, column 3, darker-bit 0) is an ON event at x = 127 - 5, y = 127 - 3."""
    words = struct.pack(">4I", 5 << 8 | 3 << 1 | 0, 1000, 127 << 8 | 0 << 1 | 1, 1001)
    (tmp_path / "a").write_bytes(b"#!AER-DAT2.0\n# created some day\n" + words)
    assert read_aedat2(tmp_path / "a").tolist() == [(122, 124, 1000, 1), (0, 127, 1001, 0)]


def test_aedat2_leaves_out_external_events(tmp_path):
    words = struct.pack(">4I", 0x8000, 1, 0, 2)
    (tmp_path / "a").write_bytes(AEDAT2_HEADER + words)
    assert read_aedat2(tmp_path / "a").tolist() == [(127, 127, 2, 1)]


def test_atis_as_its_page_describes_it(tmp_path):
    """Bits 39..32 x, 31..24 y, 23 polarity, 22..0 time: the first two events of a recording of N-MNIST."""
    (tmp_path / "a").write_bytes(bytes.fromhex("070f80028e 1312000bb7"))
    assert read_atis(tmp_path / "a").tolist() == [(7, 15, 654, 1), (19, 18, 2999, 0)]


def test_tonic_reads_what_we_write(tmp_path):
    tonic = pytest.importorskip("tonic.io")
    events = draw(6000)
    write_aedat3(tmp_path / "3", events)
    raw = tonic.get_aer_events_from_file(str(tmp_path / "3"), 3.1, len(AEDAT3_HEADER))
    assert tonic.read_aedat_header_from_file(str(tmp_path / "3"))[:2] == (3.1, len(AEDAT3_HEADER))
    assert np.array_equal(raw["timeStamp"], events["t"])
    assert np.array_equal(raw["address"] >> 17, events["x"]) and np.array_equal(raw["address"] >> 2 & 127, events["y"])
    write_aedat2(tmp_path / "2", events)
    assert tonic.read_aedat_header_from_file(str(tmp_path / "2"))[:2] == (2.0, len(AEDAT2_HEADER))
    write_atis(tmp_path / "5", events)
    assert np.array_equal(tonic.read_mnist_file(str(tmp_path / "5"), EVENT), events)


# damaged files


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("cut", [1, 3, 7])
def test_truncated(tmp_path, name, cut):
    write, read = FORMATS[name]
    write(tmp_path / "a", draw(100))
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[:-cut])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path / 'a'))} is truncated: .*; fetch it again$"):
        read(tmp_path / "a")


def test_truncated_header_of_a_packet(tmp_path):
    (tmp_path / "a").write_bytes(AEDAT3_HEADER + packet([(word(1, 1, 1), 1)]) + bytes(10))
    with pytest.raises(
        ValueError, match=f"ends inside the header of a packet at byte {len(AEDAT3_HEADER) + 36}; fetch"
    ):
        read_aedat3(tmp_path / "a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 14},
        {"kind": -1},
        {"size": 0},
        {"size": 16},
        {"overflow": -1},
        {"number": 2},
        {"number": -1},
        {"capacity": -1, "number": -1},
    ],
)
def test_damaged_packets(tmp_path, wrong):
    (tmp_path / "a").write_bytes(AEDAT3_HEADER + packet([(word(1, 1, 1), 1)], **wrong))
    message = f"at byte {len(AEDAT3_HEADER)} expected the header of a packet of AEDAT 3.1, found "
    with pytest.raises(ValueError, match=re.escape(message)):
        read_aedat3(tmp_path / "a")


@pytest.mark.parametrize(("read", "version"), [(read_aedat3, "3.1"), (read_aedat2, "2.0")])
@pytest.mark.parametrize("start", [b"", b"#!AER-DAT4.0\r\n", b"<html>", b"#!AER-DAT2.0x\r\n", bytes(300)])
def test_wrong_headers(tmp_path, read, version, start):
    (tmp_path / "a").write_bytes(start + bytes(80))
    with pytest.raises(ValueError, match=f"is not AEDAT {version}: it starts with .*, expected '#!AER-DAT{version}'"):
        read(tmp_path / "a")


@pytest.mark.parametrize("name", FORMATS)
def test_no_events(tmp_path, name):
    write, read = FORMATS[name]
    write(tmp_path / "a", draw(0))
    with pytest.raises(ValueError, match="a holds no events; fetch it again"):
        read(tmp_path / "a")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", range(5))
def test_garbage_is_refused(tmp_path, name, seed):
    header = {"aedat3": AEDAT3_HEADER, "aedat2": AEDAT2_HEADER, "atis": b""}[name]
    garbage = np.random.default_rng(seed).bytes(4000)
    (tmp_path / "a").write_bytes(header + garbage)
    with pytest.raises(ValueError, match=r"a is (damaged|truncated)"):
        FORMATS[name][1](tmp_path / "a")


@pytest.mark.parametrize("name", FORMATS)
def test_time_may_step_back_now_and_then_and_not_more(tmp_path, name):
    write, read = FORMATS[name]
    events = draw(1000)
    events["t"][500:] -= events["t"][500]
    write(tmp_path / "a", events)
    assert np.array_equal(read(tmp_path / "a"), events)
    write(tmp_path / "a", events[::-1])
    with pytest.raises(ValueError, match=r"damaged: time runs backwards at 99\d of 1000 events"):
        read(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "event", "message"),
    [
        ("aedat3", (2, 2**14, -1, 0), "t must be in 0..4611686018427387903 in this format, found -1 to -1"),
        ("aedat2", (128, 0, 0, 0), "x must be in 0..127 in this format, found 128 to 128"),
        ("aedat2", (0, 0, 2**31, 0), "t must be in 0..2147483647"),
        ("atis", (0, 240, 0, 0), "y must be in 0..239"),
        ("atis", (0, 0, 2**23, 0), "t must be in 0..8388607"),
        ("atis", (0, 0, 0, 2), "p must be in 0..1"),
    ],
)
def test_writers_refuse_what_a_format_cannot_hold(tmp_path, name, event, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FORMATS[name][0](tmp_path / "a", np.array([event], EVENT))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["aedat2", "atis"])
def test_missing_tonic(tmp_path, monkeypatch, name):
    write, read = FORMATS[name]
    write(tmp_path / "a", draw(10))
    monkeypatch.setitem(sys.modules, "tonic", None)
    monkeypatch.setitem(sys.modules, "tonic.io", None)
    with pytest.raises(ValueError, match=re.escape("needs tonic: pip install 'fsvae-tcja[events]'")):
        read(tmp_path / "a")


def test_packet_headers_are_28_bytes():
    assert AEDAT3_PACKET.itemsize == 28
