"""Images in tar shards as a data set, each read from its place when it is asked for."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...utils.cpus import spare_cpus
from ...utils.printable import shown
from ..dataset import LabelledDataset
from ..image_file import read_image

OPEN = 64  # shards of a process at once


@dataclass(frozen=True)
class Places:
    """Where N images lie, one after the other.

    Attributes:
        shards: their files.
        shard: int32 [N], which of them.
        offset, size: int64 [N], of an image's bytes in it.
        sha256: uint8 [N, 32], of these bytes.
        name_end: int64 [N], where its name ends in `names`.
        names: uint8, the names in the shards, one after the other.
    """

    shards: Sequence[Path]
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    sha256: np.ndarray
    name_end: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.shard)

    def name(self, i: int) -> str:
        """The path of an image in its shard."""
        return os.fsdecode(self.names[self.name_end[i - 1] if i else 0 : self.name_end[i]].tobytes())

    def path(self, i: int) -> Path:
        """What to call an image in messages: its path as if its shard were a folder."""
        return self.shards[self.shard[i]] / self.name(i)


class ShardImages(LabelledDataset):
    """Images in tar shards, each brought to (channels, size, size) by `read_image` when it is asked for.

    Args:
        places: of the images of all splits.
        rows: int64 [N], which of them are those of this split.
    """

    workers = min(16, spare_cpus())

    def __init__(
        self,
        name: str,
        split: str,
        places: Places,
        rows: np.ndarray,
        labels: Tensor,
        classes: int | None,
        *,
        channels: int,
        size: int,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, split, (channels, size, size), labels, classes, class_names)
        self.places, self.rows = places, rows
        self.files = OpenFiles(places.shards)

    def load(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self._image(row) for row in self.rows[list(indices)].tolist()])

    def _image(self, row: int) -> Tensor:
        """
        Raises:
            ValueError: its bytes are not those that the index was made from, or no image.
        """
        places = self.places
        data = self.files.read(int(places.shard[row]), int(places.offset[row]), int(places.size[row]))
        if hashlib.sha256(data).digest() != places.sha256[row].tobytes():
            raise ValueError(
                f"{shown(places.path(row))} is not what it was when the index of its shard was made, by its SHA-256: "
                "the shard has changed or is damaged; start anew, or put it back"
            )
        return read_image(places.path(row), self.channels, self.size, data=data)

    def digests(self, indices: Sequence[int]) -> Iterator[bytes]:
        """SHA-256 of the bytes of these images, as the index has it."""
        for row in self.rows[list(indices)]:
            yield self.places.sha256[row].tobytes()

    def contents(self) -> Tensor:
        return torch.from_numpy(first_equal(self.places.sha256[self.rows]))


def first_equal(sha256: np.ndarray) -> np.ndarray:
    """For each row of uint8 [N, 32] the number of the first row that is equal to it, int64 [N]."""
    rows = np.ascontiguousarray(sha256).view("V32").ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return first[inverse]


class OpenFiles:
    """Files, of which those that were read last stay open. Processes made by fork may share it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._open: OrderedDict[int, _File] = OrderedDict()

    def read(self, which: int, offset: int, size: int) -> bytes:
        """So many bytes of one of the files, fewer at its end."""
        file = self._open.pop(which, None) or _File(self.paths[which])
        self._open[which] = file
        if len(self._open) > OPEN:
            self._open.popitem(last=False)
        return os.pread(file.number, size, offset)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFiles, (self.paths,)


class _File:
    """Closed when nobody has it any more, such as another thread that reads it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)
