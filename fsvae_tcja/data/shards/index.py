"""What a shard holds: a row for each image, with its place in the tar, its label and what its header says."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ...utils.printable import shown
from ..image_file import is_image, read_header
from .tar import Member, members

LABEL = "cls"  # extension of the file that holds a label
LONGEST = 200  # bytes of a label
SECOND = "other images of the same key"


@dataclass(frozen=True)
class ShardIndex:
    """The images of a shard, in their order there.

    Attributes:
        offset, size: int64 [n], of their bytes in the shard.
        pixels: int32 [n, 2], width and height, turned as EXIF says.
        kind: int32 [n], which of `kinds` each is.
        label: int32 [n], which of `labels` each has; -1: none.
        sha256: uint8 [n, 32], of their bytes.
        name_end: int64 [n], where the name of each ends in `names`.
        names: uint8, their paths in the shard, one after the other.
        kinds: whether it stores one channel, and what reading it does to its pixels (`Header`).
        labels: what the .cls files say, in order of appearance.
        passed_over: how many files are not used, by reason.
    """

    offset: np.ndarray
    size: np.ndarray
    pixels: np.ndarray
    kind: np.ndarray
    label: np.ndarray
    sha256: np.ndarray
    name_end: np.ndarray
    names: np.ndarray
    kinds: list[tuple[bool, tuple[str, ...]]]
    labels: list[str]
    passed_over: Counter[str]

    def __len__(self) -> int:
        return len(self.offset)

    def paths(self) -> list[str]:
        """The names one by one."""
        names, ends = self.names.tobytes(), self.name_end.tolist()
        return [os.fsdecode(names[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


@dataclass
class _Sample:
    """The files of one key."""

    images: list[Member]
    label: Member | None = None


def make_index(shard: Path) -> ShardIndex:
    """Read a shard from end to end.

    The key of a file is its path up to the first dot of its name, as WebDataset has it; the files of one key are a
    sample, also where others lie between them. Of several images of a key, the one that has no second extension is
    taken (000012.jpg, not 000012.mask.png). KEY.cls holds the label.

    Raises:
        ValueError: the tar (see `members`), an image or a label cannot be read, a file is there twice, or a key has
            several images and none or several without a second extension; the message names it.
    """
    passed_over: Counter[str] = Counter()
    samples = _samples(shard, passed_over)
    kinds: dict[tuple[bool, tuple[str, ...]], int] = {}
    labels: dict[str, int] = {}
    rows, names, digests = [], [], []
    with open(shard, "rb", buffering=0) as file:
        for key, sample in samples.items():
            if not sample.images:
                passed_over[f".{LABEL} without an image"] += 1
                continue
            image = _image_of(shard, key, sample.images, passed_over)
            data = os.pread(file.fileno(), image.size, image.offset)
            header = read_header(shard / image.name, data)
            kind = kinds.setdefault((header.grey, header.conversions), len(kinds))
            label = -1
            if sample.label is not None:
                text = _label(shard, sample.label, os.pread(file.fileno(), LONGEST + 1, sample.label.offset))
                label = labels.setdefault(text, len(labels))
            rows.append((image.offset, image.size, header.width, header.height, kind, label))
            names.append(os.fsencode(image.name))
            digests.append(hashlib.sha256(data).digest())
    columns = np.array(rows, np.int64).reshape(-1, 6)
    offset, size, *_ = (np.ascontiguousarray(column) for column in columns.T)
    return ShardIndex(
        offset,
        size,
        columns[:, 2:4].astype(np.int32),
        columns[:, 4].astype(np.int32),
        columns[:, 5].astype(np.int32),
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        np.cumsum([len(name) for name in names], dtype=np.int64),
        np.frombuffer(b"".join(names), np.uint8),
        list(kinds),
        list(labels),
        passed_over,
    )


def _samples(shard: Path, passed_over: Counter[str]) -> dict[str, _Sample]:
    """The files that are read, by their keys."""
    samples: dict[str, _Sample] = {}
    seen: set[str] = set()
    for member in members(shard, passed_over):
        key, extension = _split(member.name)
        if extension != LABEL and not is_image(member.name):
            passed_over[PurePosixPath(member.name).suffix.lower() or "without an extension"] += 1
            continue
        if member.name in seen:
            raise ValueError(f"{shown(shard)} holds {shown(member.name)} twice; expected one file of a name")
        seen.add(member.name)
        sample = samples.setdefault(key, _Sample([]))
        if extension == LABEL:
            sample.label = member
        else:
            sample.images.append(member)
    return samples


def _split(name: str) -> tuple[str, str]:
    """A path as key and extension: "a/12.mask.PNG" -> ("a/12", "mask.png"); a dot that begins a name is part of it."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _image_of(shard: Path, key: str, images: list[Member], passed_over: Counter[str]) -> Member:
    if len(images) == 1:
        return images[0]
    plain = [image for image in images if "." not in _split(image.name)[1]]
    if len(plain) != 1:
        names = ", ".join(shown(image.name) for image in images[:3]) + ", ..." * (len(images) > 3)
        raise ValueError(
            f"{shown(shard)} has {len(images):,} images of the key {shown(key)}: {names}; expected one, or one without "
            "a second extension; the key is the name up to its first dot"
        )
    passed_over[SECOND] += len(images) - 1
    return plain[0]


def _label(shard: Path, member: Member, found: bytes) -> str:
    try:
        text = found[: member.size].decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or member.size > LONGEST or not text.isprintable():
        raise ValueError(
            f"{shown(shard)} holds the label {shown(member.name)} of {member.size:,} bytes; expected the number or the "
            f"name of a class as text, one line of {LONGEST} bytes at most"
        )
    return text
