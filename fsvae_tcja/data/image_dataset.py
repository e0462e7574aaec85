"""A data set of square images of one size, in memory or in files."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .image_file import read_image


class ImageDataset(Dataset):
    """Images uint8 [C, S, S] in 0..255 with integer labels.

    `dataset[i] -> (image uint8 [C, S, S], int)`, `dataset.__getitems__(indices) -> (uint8 [B, C, S, S], int64 [B])`.

    Attributes:
        name: of the data set or the folder.
        split: "train", "test", ...
        channels: C, 1 or 3.
        size: S, in pixels.
        classes: number of classes, or None if there are no labels.
        class_names: their names, by default their numbers.
        labels: int64 [len], -1 where there is none.
        workers: loader processes that pay for this data set.
    """

    workers = 0

    def __init__(
        self,
        name: str,
        split: str,
        *,
        channels: int,
        size: int,
        classes: int | None,
        labels: Tensor,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.split = split
        self.channels = channels
        self.size = size
        self.classes = classes
        self.class_names = tuple(class_names or map(str, range(classes or 0)))
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.__getitems__([index])
        return images[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.load(indices), self.labels[indices]

    def load(self, indices: Sequence[int]) -> Tensor:
        """Images uint8 [B, C, S, S]."""
        raise NotImplementedError

    def __repr__(self) -> str:
        shape = f"{self.channels} x {self.size} x {self.size}"
        return f"{type(self).__name__}({self.name}, {self.split}: {len(self)} images of {shape})"


class MemoryImages(ImageDataset):
    """A data set held as one tensor, `images` uint8 [N, C, S, S]."""

    def __init__(
        self,
        name: str,
        split: str,
        images: Tensor,
        labels: Tensor,
        classes: int | None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            name,
            split,
            channels=images.shape[1],
            size=images.shape[-1],
            classes=classes,
            labels=labels,
            class_names=class_names,
        )
        self.images = images

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.images[indices]


class FileImages(ImageDataset):
    """A data set of image files, each decoded when it is asked for: see `read_image`."""

    workers = min(4, (os.cpu_count() or 1) - 1)

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
    ) -> None:
        super().__init__(
            name, split, channels=channels, size=size, classes=classes, labels=labels, class_names=class_names
        )
        self.paths = paths
        self.crop = crop

    def load(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([read_image(self.paths[i], self.channels, self.size, self.crop) for i in indices])
