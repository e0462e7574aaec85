"""The idx format of MNIST: bytes 0, 0, element type, number of axes; the axes as big-endian uint32; the elements."""

import gzip
import hashlib
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..utils.foreign import reading
from ..utils.memory import gigabytes

UINT8 = 8
MOST = 2**30  # bytes of a file that is read into memory: the published ones have 0.05 GB at most


def unzipped(path: Path) -> bytes:
    """The contents of a file; of one whose name ends in .gz, decompressed.

    Raises:
        ValueError: a damaged gzip file, or one of more than a GB; the message names it.
    """
    with _opened(path) as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise ValueError(f"{path} holds more than {gigabytes(MOST)}, expected less; fetch it again")
    return data


def read_idx(path: Path, axes: int) -> tuple[np.ndarray, str]:
    """The uint8 array with `axes` axes in an idx file, gzipped or not, and the SHA-256 of its unzipped contents.

    No more is decompressed than the header announces.

    Raises:
        ValueError: not an idx file of that kind, too short, too long, or of more than a GB; the message names it.
    """
    with _opened(path) as file:
        header = file.read(4 + 4 * axes)
        shape = _shape(header, axes, path)
        announced = f"its header announces {' x '.join(map(str, shape))} = {math.prod(shape)}"
        if math.prod(shape) > MOST:
            raise ValueError(f"{path} is too large: {announced}, expected {gigabytes(MOST)} at most; fetch it again")
        data = file.read(math.prod(shape) + 1)
    if len(data) != math.prod(shape):
        more = " or more" if len(data) > math.prod(shape) else ""
        raise ValueError(f"{path} holds {len(data)} elements{more}, {announced}; fetch it again")
    return np.frombuffer(data, np.uint8).reshape(shape), hashlib.sha256(header + data).hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    zipped = path.suffix == ".gz"
    with (
        reading(path, "is a damaged gzip file" if zipped else "cannot be read", "fetch it again"),
        gzip.open(path) if zipped else path.open("rb") as file,
    ):
        yield cast(BinaryIO, file)


def _shape(header: bytes, axes: int, path: Path) -> tuple[int, ...]:
    """Of the array, as the header says."""
    if header[:4] != bytes([0, 0, UINT8, axes]):
        raise ValueError(
            f"{path} is not an idx file of uint8 with {axes} axes: "
            f"it starts with {header[:4].hex(' ') or 'nothing'}, expected 00 00 {UINT8:02x} {axes:02x}"
        )
    if len(header) < 4 + 4 * axes:
        raise ValueError(f"{path} ends inside its header: {len(header)} of {4 + 4 * axes} bytes; fetch it again")
    return struct.unpack_from(f">{axes}I", header, 4)
