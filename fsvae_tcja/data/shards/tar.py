"""The files in a tar, and where their bytes lie in it."""

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...utils.foreign import reading
from ...utils.printable import shown
from ..listing import HIDDEN, SPECIAL, is_debris

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")  # gzip, bzip2, xz, zstd, lz4
LINKS = "links in a tar"
CHUNK = 2**20  # bytes


class Member(NamedTuple):
    """A file in a tar.

    Attributes:
        name: its path there, without "./" and "/" before it.
        offset, size: of its bytes.
    """

    name: str
    offset: int
    size: int


def members(path: Path, passed_over: Counter[str]) -> Iterator[Member]:
    """The regular files in a tar, in their order.

    Args:
        path: of the tar.
        passed_over: in which links, devices and hidden files are counted; folders are not.

    Raises:
        ValueError: it is compressed, damaged, cut off, or holds a sparse file; the message names it.
    """
    with reading(shown(path), "is no tar that can be read", "write or fetch it anew"), open(path, "rb") as file:
        if file.read(8).startswith(COMPRESSED):
            raise compressed(path)
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        with tarfile.open(fileobj=file, mode="r:") as archive:
            end = 0
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # which would hold all
                if not end <= info.offset < info.offset_data <= info.offset_data + info.size <= size:
                    raise ValueError(f"{info.size:,} bytes for {shown(info.name)[:100]} at byte {info.offset:,}")
                end = info.offset_data
                if (member := _file(path, info, passed_over)) is not None:
                    yield member
            _check_end(file, archive.offset)


def compressed(path: Path) -> ValueError:
    """What to raise for a compressed tar."""
    return ValueError(
        f"{shown(path)} is a compressed tar, in which no image can be reached by itself: unpack it (gunzip, unxz, ...) "
        "to a .tar; images in it stay as small as they are"
    )


def _file(path: Path, info: tarfile.TarInfo, passed_over: Counter[str]) -> Member | None:
    parts = [part for part in info.name.split("/") if part not in ("", ".")]
    if info.isdir():
        return None
    if any(map(is_debris, parts)):
        passed_over[HIDDEN] += 1
    elif info.issym() or info.islnk():
        passed_over[LINKS] += 1
    elif not info.isreg() or not parts:
        passed_over[SPECIAL] += 1
    elif info.issparse():
        raise ValueError(f"{shown(path)} holds {shown(info.name)} as a sparse file; write it without tar's --sparse")
    else:
        return Member("/".join(parts), info.offset_data, info.size)
    return None


def _check_end(file: BinaryIO, offset: int) -> None:
    """A tar ends in blocks of zeros; tarfile takes a header that it cannot read for the end too."""
    file.seek(offset)
    chunk = file.read(CHUNK)
    if not chunk:
        raise ValueError(f"it is cut off: the blocks of zeros that end a tar are missing at byte {offset:,}")
    while chunk:
        if chunk.strip(b"\0"):
            raise ValueError(f"there is no header of a file at byte {offset:,} or behind it; is it two tars in one?")
        chunk = file.read(CHUNK)
