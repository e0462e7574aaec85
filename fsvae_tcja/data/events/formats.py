"""Reading recordings in the formats in which the data sets are published, and writing that of an ATIS."""

from pathlib import Path
from types import ModuleType

import numpy as np

from ...utils.atomic import replacing
from ...utils.foreign import reader
from .clock import unwrap
from .recording import EVENT, make_events

AEDAT3_PACKET = np.dtype(
    [
        ("type", "<i2"),
        ("source", "<i2"),
        ("size", "<i4"),  # bytes of an event
        ("time_offset", "<i4"),
        ("overflow", "<i4"),  # bits 31.. of every time in the packet
        ("capacity", "<i4"),  # events that follow
        ("number", "<i4"),  # of them used
        ("valid", "<i4"),
    ]
)
AEDAT3_EVENT = np.dtype([("data", "<u4"), ("t", "<i4")])
POLARITY = 1  # type of a packet of polarity events
LAST_TYPE = 13
END_OF_HEADER = b"#!END-HEADER"
ATIS_BYTES = 5
STEPS_BACK = 0.01
AEDAT2_BITS, AEDAT3_BITS, ATIS_BITS = 32, 31, 23  # of a stamp


@reader("cannot be read", "fetch it again")
def read_aedat3(path: str | Path) -> np.ndarray:
    """Read AEDAT 3.1 (DVS128 Gesture): the polarity events that are marked valid, in the order of the file.

    A header of text lines, then packets, each a header of 28 bytes and events of 8, little-endian. Of an event's first
    word, bit 0 is the valid mark, bit 1 the polarity, bits 2..16 the row, bits 17..31 the column; the second word is
    the time, to which the packet's header gives the bits from 31 on; where it does not, as some writers leave it at 0,
    a wrap is found out. Packets of other types are left out.

    Returns:
        events [n] of type EVENT.

    Raises:
        ValueError: another format, a damaged or truncated file, or one without events; the message names it.
    """
    path = Path(path)
    data = path.read_bytes()
    position = _header_length(path, "3.1")
    parts, unmarked = [np.empty(0, EVENT)], 0
    while position < len(data):
        packet = _packet(path, data, position)
        position += AEDAT3_PACKET.itemsize
        if packet["type"] == POLARITY:
            events = np.frombuffer(data, AEDAT3_EVENT, int(packet["number"]), position)
            marked = (events["data"] & 1) == 1
            unmarked += len(events) - int(marked.sum())
            events = events[marked]
            t = events["t"].astype(np.int64) | (int(packet["overflow"]) << 31)
            parts.append(make_events(events["data"] >> 17, events["data"] >> 2 & 0x7FFF, t, events["data"] >> 1 & 1))
        position += int(packet["capacity"]) * int(packet["size"])
    found = np.concatenate(parts)
    if unmarked and not len(found):
        raise ValueError(
            f"{path}: none of its {unmarked:,} polarity events is marked valid (bit 0 of an event's first word), so "
            "another copy would be no better: leave the recording out, or, if its writer never sets the mark, set it; "
            "fsvae_tcja/data/events/README.md has the lines for that"
        )
    return _checked(path, found, AEDAT3_BITS)


def _packet(path: Path, data: bytes, position: int) -> np.void:
    """The header of the packet at `position`, whose events lie within the file."""
    if len(data) - position < AEDAT3_PACKET.itemsize:
        raise ValueError(
            f"{path} is truncated: it ends inside the header of a packet at byte {position}; fetch it again"
        )
    packet = np.frombuffer(data, AEDAT3_PACKET, 1, position)[0]
    sound = 0 <= packet["type"] <= LAST_TYPE and packet["size"] > 0 and packet["overflow"] >= 0
    sound = sound and 0 <= packet["valid"] <= packet["number"] <= packet["capacity"]
    if not sound or (packet["type"] == POLARITY and packet["size"] != AEDAT3_EVENT.itemsize):
        raise ValueError(
            f"{path} is damaged: at byte {position} expected the header of a packet of AEDAT 3.1, "
            f"found {packet.tobytes()[:8].hex(' ')} ...; fetch it again"
        )
    announced = int(packet["capacity"]) * int(packet["size"])
    held = len(data) - position - AEDAT3_PACKET.itemsize
    if held < announced:
        raise ValueError(
            f"{path} is truncated: the packet at byte {position} announces {announced} bytes of events, found {held}; "
            "fetch it again"
        )
    return packet


@reader("cannot be read", "fetch it again")
def read_aedat2(path: str | Path) -> np.ndarray:
    """Read AEDAT 2.0 of a DVS128 (CIFAR10-DVS): its polarity events in the order of the file.

    A header of text lines, then events of 8 bytes, big-endian: address and time. Of an address, bit 0 is 0 for
    brighter and 1 for darker, bits 1..7 and 8..14 the position, bit 15 marks an event from outside, left out. The
    camera stood turned: upright is x = 127 - bits 8..14, y = 127 - bits 1..7, as the field's loaders have it.

    Returns:
        events [n] of type EVENT.

    Raises:
        ValueError: another format, a damaged or truncated file, one without events, or tonic is missing.
    """
    path = Path(path)
    start = _header_length(path, "2.0")
    size = path.stat().st_size - start
    if size % 8:
        raise ValueError(f"{path} is truncated: {size} bytes of events, expected a multiple of 8; fetch it again")
    raw = _tonic().get_aer_events_from_file(str(path), 2.0, start)
    address, t = raw["address"].astype(np.uint32), raw["timeStamp"].astype(np.int64)
    if (address >> 16).any():
        raise ValueError(
            f"{path} is damaged or not from a DVS128: found the address 0x{address.max():08x}, expected 16 bits; "
            "fetch it again"
        )
    inside = (address & 0x8000) == 0
    if len(address) and not inside.any():
        raise ValueError(
            f"{path}: all its {len(address):,} events are marked as from outside the sensor (bit 15 of the address), "
            "so another copy would be no better: leave the recording out"
        )
    address, t = address[inside], t[inside]
    events = make_events(127 - (address >> 8), 127 - (address >> 1 & 0x7F), t, 1 - (address & 1))
    return _checked(path, events, AEDAT2_BITS)


@reader("cannot be read", "fetch it again")
def read_atis(path: str | Path) -> np.ndarray:
    """Read the 5-byte format of an ATIS (N-MNIST, N-Caltech101): its events in the order of the file.

    Column, row, then a bit of polarity and 23 bits of time, big-endian.

    Returns:
        events [n] of type EVENT.

    Raises:
        ValueError: a truncated or damaged file, one without events, or tonic is missing.
    """
    path = Path(path)
    size = path.stat().st_size
    if size % ATIS_BYTES:
        raise ValueError(f"{path} is truncated: {size} bytes, expected a multiple of {ATIS_BYTES}; fetch it again")
    return _checked(path, _tonic().read_mnist_file(str(path), EVENT), ATIS_BITS)


def _tonic() -> ModuleType:
    try:
        import tonic.io
    except ImportError as error:
        raise ValueError("reading event recordings needs tonic: pip install 'fsvae-tcja[events]'") from error
    return tonic.io


def _header_length(path: Path, version: str) -> int:
    """Bytes of the lines that start with "#", the first of which names the version."""
    with path.open("rb") as file:
        first = file.readline(80)
        if first.strip() != b"#!AER-DAT" + version.encode():
            raise ValueError(
                f"{path} is not AEDAT {version}: it starts with {first[:20]!r}, expected '#!AER-DAT{version}'"
            )
        length = len(first)
        while (line := file.readline()).startswith(b"#"):
            length += len(line)
            if line.strip() == END_OF_HEADER:
                break
    return length


def _checked(path: Path, events: np.ndarray, bits: int) -> np.ndarray:
    """The events, of which there are some, with times that no longer wrap. Old recordings step back here and there."""
    if len(events) == 0:
        raise ValueError(f"{path} holds no events; fetch it again")
    events["t"] = unwrap(events["t"], bits)
    back = int((np.diff(events["t"]) < 0).sum())
    if back > STEPS_BACK * len(events) or events["t"].min() < 0:
        raise ValueError(
            f"{path} is damaged: time runs backwards at {back} of {len(events)} events (from {events['t'].min()} to "
            f"{events['t'].max()} microseconds); fetch it again"
        )
    return events


def write_atis(path: str | Path, events: np.ndarray) -> None:
    """Write the 5-byte format of an ATIS, as `read_atis` reads it. Rows below 240, times up to 2^23 microseconds.

    Raises:
        ValueError: values that the format cannot hold.
    """
    check_range(path, events, x=256, y=240, t=2**23)  # row 240 marks an overflow of the time
    words = np.empty((len(events), ATIS_BYTES), np.uint8)
    x, y, t, p = (events[name].astype(np.int64) for name in "xytp")
    for i, column in enumerate((x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF)):
        words[:, i] = column
    with replacing(path) as temporary:
        temporary.write_bytes(words.tobytes())


def check_range(path: str | Path, events: np.ndarray, **ends: int) -> None:
    """Raise a ValueError unless every column of the events is in 0..end - 1; p in 0..1."""
    for name, end in {**ends, "p": 2}.items():
        values = events[name]
        if len(values) and not (values.min() >= 0 and values.max() < end):
            raise ValueError(
                f"cannot write {path}: {name} must be in 0..{end - 1} in this format, "
                f"found {values.min()} to {values.max()}"
            )
