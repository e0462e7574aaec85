"""A data set of square images of one size, in memory or in files."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..utils.cpus import spare_cpus
from ..utils.digest import file_sha256
from ..utils.once import warn_once
from .copies import equal_images
from .dataset import LabelledDataset
from .image_file import read_header, read_image

log = logging.getLogger(__name__)


class MemoryImages(LabelledDataset):
    """Images held as one tensor, `images` uint8 [N, C, S, S]. Without labels these are -1, and `classes` None.

    Raises:
        ValueError: images of another type or number of dimensions.
    """

    def __init__(
        self,
        name: str,
        split: str,
        images: Tensor,
        labels: Tensor,
        classes: int | None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise ValueError(
                f"images must be uint8 [N, C, S, S], found {images.dtype} {list(images.shape)}; of [0, 1] take "
                "(255 * x).round().byte()"
            )
        _, channels, height, width = images.shape
        super().__init__(name, split, (channels, height, width), labels, classes, class_names)
        self.images = images

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.images[indices]


class FileImages(LabelledDataset):
    """Images in files, each brought to (channels, size, size) by `read_image` when it is asked for.

    Args:
        equal: int64 [N], equal for images of equal contents, where that is known; None: it is found when asked for.
    """

    workers = min(16, spare_cpus())

    def __init__(
        self,
        name: str,
        split: str,
        paths: Sequence[Path],
        labels: Tensor,
        classes: int | None,
        *,
        channels: int,
        size: int,
        crop: int | None = None,
        class_names: Sequence[str] | None = None,
        equal: Tensor | None = None,
    ) -> None:
        super().__init__(name, split, (channels, size, size), labels, classes, class_names)
        self.paths = paths
        self.crop = crop
        self.equal = equal

    def load(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([read_image(self.paths[i], self.channels, self.size, self.crop) for i in indices])

    def digests(self, indices: Sequence[int]) -> Iterator[bytes]:
        """SHA-256 of the bytes of these files."""
        yield from (file_sha256(self.paths[i]) for i in indices)

    def contents(self) -> Tensor:
        if self.equal is None:
            first, note = equal_images(self.paths, [read_header(path).size for path in self.paths])
            self.equal = torch.tensor(first)
            if note:
                warn_once(log, f"{self.name}, {self.split}: {note}")
        return self.equal
