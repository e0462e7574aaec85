"""Images of equal contents, found without reading most of the files whole."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..utils.once import warn_once
from .image_file import format_of, read_header, read_rgb

TAIL = 512  # bytes; the end of a compressed image is hardly ever that of another one
DECODED = 2**28  # pixels of a folder: some seconds
log = logging.getLogger(__name__)


def equal_images(paths: Sequence[Path]) -> list[int]:
    """For each image the index of the first equal one: its own where there is none before it.

    Equal are files with the same bytes, and images of the same pixels in files of different formats. For these the
    images whose width and height occur in several formats are decoded, if they have 2^28 pixels at most in all; if they
    have more the log says that they were not compared.

    Raises:
        OSError, ValueError: a file that cannot be read, or is no image.
    """
    first = equal_files(paths)
    if len({format_of(path) for path in paths}) < 2:
        return first
    sizes = {i: read_header(paths[i])[1:3] for i, original in enumerate(first) if i == original}
    mixed = [same for same in _alike(sizes, lambda i: sizes[i]) if len({format_of(paths[i]) for i in same}) > 1]
    if sum(len(same) * sizes[same[0]][0] * sizes[same[0]][1] for same in mixed) > DECODED:
        number = sum(map(len, mixed))
        warn_once(log, f"copies in another format are not looked for among {number:,} images: they are too large")
        return first
    for same in mixed:
        for original, *copies in _alike(same, lambda i: _pixels(paths[i])):
            for copy in copies:
                first[copy] = original
    return [first[original] for original in first]


def _pixels(path: Path) -> bytes:
    """The SHA-256 of the decoded pixels, of images of one size; of the bytes where they cannot be decoded."""
    try:
        return hashlib.sha256(read_rgb(path).tobytes()).digest()
    except ValueError:  # told when the image is asked for
        return _sha256(path)


def equal_files(paths: Sequence[Path]) -> list[int]:
    """For each file the index of the first one with the same bytes: its own where there is none before it.

    Raises:
        OSError: a file that cannot be read.
    """
    first = list(range(len(paths)))
    for same_size in _alike(first, lambda i: paths[i].stat().st_size):
        for same_end in _alike(same_size, lambda i: _tail(paths[i])):
            for original, *copies in _alike(same_end, lambda i: _sha256(paths[i])):
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


def _sha256(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
