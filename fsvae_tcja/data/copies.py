"""Images of equal contents: files of the same bytes, and images of the same pixels."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..utils.digest import file_sha256
from .image_file import read_rgb

TAIL = 512  # bytes; the end of a compressed image is hardly ever that of another one
DECODED = 2**28  # pixels of a folder: as PNG some 13 s
Size = tuple[int, int]
"""Width and height in pixels."""


class Equal(NamedTuple):
    """Which images are equal.

    Attributes:
        first: for each image the index of the first equal one, its own where there is none before it.
        note: that their pixels were not compared; "" if they were.
    """

    first: list[int]
    note: str


def equal_images(paths: Sequence[Path], sizes: Sequence[Size]) -> Equal:
    """Find the images of which a model sees the same: the pixels as `read_image` decodes them, before it resizes them.

    Files of the same bytes are equal without a look at their pixels. Of the others, those that share their size with
    another one are decoded, once each, if they have 2^28 pixels at most in all; if they have more, none is.

    Args:
        paths: image files.
        sizes: of each, as its header has it.

    Raises:
        OSError, ValueError: a file that cannot be read; the message names it.
    """
    first = equal_files(paths)
    alike = _alike((i for i, original in enumerate(first) if i == original), lambda i: sizes[i])
    pixels = sum(len(same) * sizes[same[0]][0] * sizes[same[0]][1] for same in alike)
    if pixels > DECODED:
        too_many = f"{pixels:,} pixels are more than the {DECODED:,} that are compared"
        return Equal(first, f"copies are known by their bytes alone: {too_many}")
    for same in alike:
        for original, *copies in _alike(same, lambda i: _pixels(paths[i])):
            for copy in copies:
                first[copy] = original
    return Equal([first[original] for original in first], "")


def _pixels(path: Path) -> bytes:
    """The SHA-256 of the decoded pixels, of images of one size."""
    return hashlib.sha256(read_rgb(path).tobytes()).digest()


def equal_files(paths: Sequence[Path]) -> list[int]:
    """For each file the index of the first one with the same bytes: its own where there is none before it.

    Raises:
        OSError: a file that cannot be read.
    """
    first = list(range(len(paths)))
    for same_size in _alike(first, lambda i: paths[i].stat().st_size):
        for same_end in _alike(same_size, lambda i: _tail(paths[i])):
            for original, *copies in _alike(same_end, lambda i: file_sha256(paths[i])):
                for copy in copies:
                    first[copy] = original
    return first


def _alike(indices: Iterable[int], key: Callable[[int], Any]) -> list[list[int]]:
    """Those that share a key with another one, together, each group in rising order."""
    groups: dict[Any, list[int]] = {}
    for i in indices:
        groups.setdefault(key(i), []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def _tail(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        file.seek(-min(TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read()
