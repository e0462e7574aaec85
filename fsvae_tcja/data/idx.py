"""The idx format of MNIST: bytes 0, 0, element type, number of axes; the axes as big-endian uint32; the elements."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from ..utils.foreign import reading
from ..utils.memory import gigabytes

UINT8 = 8
MOST = 2**30  # bytes of a file that is read into memory: the published ones have 0.05 GB at most


def unzipped(path: Path, most: int = MOST) -> bytes:
    """The contents of a file; of one whose name ends in .gz, decompressed.

    Raises:
        ValueError: a damaged gzip file, or one of more than `most` bytes; the message names it.
    """
    with (
        reading(path, "is damaged", "fetch it again"),
        gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file,
    ):
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{path} holds more than {gigabytes(most)}; fetch it again")
    return data


def read_idx(path: Path, axes: int) -> bytes:
    """The contents of an idx file of uint8 with `axes` axes: the header is looked at before the rest is decompressed.

    Raises:
        ValueError: not an idx file of that kind, too short, too long, or of more than a GB; the message names it.
    """
    start = 4 + 4 * axes
    with (
        reading(path, "is damaged", "fetch it again"),
        gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file,
    ):
        header = file.read(start)
        announced = math.prod(_shape(header, axes, path))
        if announced > MOST:
            raise ValueError(f"{path} announces {gigabytes(announced)}, more than {gigabytes(MOST)}; fetch it again")
        data = header + file.read(announced + 1)
    parse_idx(data, axes, path)
    return data


def parse_idx(data: bytes, axes: int, path: Path) -> np.ndarray:
    """The uint8 array with `axes` axes in the contents of an idx file, which `path` names.

    Raises:
        ValueError: not an idx file of that kind, too short or too long; the message names the file.
    """
    start, shape = 4 + 4 * axes, _shape(data, axes, path)
    if len(data) != start + math.prod(shape):
        more = "or more" if len(data) > start + math.prod(shape) else ""
        raise ValueError(
            f"{path} holds {len(data) - start} elements{more and f' {more}'}, its header announces "
            f"{' x '.join(map(str, shape))} = {math.prod(shape)}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _shape(data: bytes, axes: int, path: Path) -> tuple[int, ...]:
    """Of the array, as the header says."""
    start = 4 + 4 * axes
    if data[:4] != bytes([0, 0, UINT8, axes]):
        raise ValueError(
            f"{path} is not an idx file of uint8 with {axes} axes: "
            f"it starts with {data[:4].hex(' ') or 'nothing'}, expected 00 00 {UINT8:02x} {axes:02x}"
        )
    if len(data) < start:
        raise ValueError(f"{path} ends inside its header: {len(data)} of {start} bytes; fetch it again")
    return struct.unpack_from(f">{axes}I", data, 4)
