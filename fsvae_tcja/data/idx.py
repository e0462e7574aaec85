"""The idx format of MNIST: bytes 0, 0, element type, number of axes; the axes as big-endian uint32; the elements."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

UINT8 = 8


def unzipped(path: Path) -> bytes:
    """The contents of a file; of one whose name ends in .gz, decompressed.

    Raises:
        ValueError: a damaged gzip file; the message names it.
    """
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); fetch it again") from error


def parse_idx(data: bytes, axes: int, path: Path) -> np.ndarray:
    """The uint8 array with `axes` axes in the contents of an idx file, which `path` names.

    Raises:
        ValueError: not an idx file of that kind, too short or too long; the message names the file.
    """
    start = 4 + 4 * axes
    if data[:4] != bytes([0, 0, UINT8, axes]):
        raise ValueError(
            f"{path} is not an idx file of uint8 with {axes} axes: "
            f"it starts with {data[:4].hex(' ') or 'nothing'}, expected 00 00 {UINT8:02x} {axes:02x}"
        )
    if len(data) < start:
        raise ValueError(f"{path} ends inside its header: {len(data)} of {start} bytes; fetch it again")
    shape = struct.unpack_from(f">{axes}I", data, 4)
    if len(data) != start + math.prod(shape):
        raise ValueError(
            f"{path} holds {len(data) - start} elements, its header announces "
            f"{' x '.join(map(str, shape))} = {math.prod(shape)}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
