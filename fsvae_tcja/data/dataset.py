"""What every data set is: samples with integer labels, read one by one or a batch at a time; and parts of one."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..utils.once import warn_once
from .splits import SPLIT_SEED, validation_split

log = logging.getLogger(__name__)


class LabelledDataset(Dataset[tuple[Tensor, int]]):
    """Samples with integer labels: images uint8 [C, H, W], or frames of event counts int16 [T, 2, H, W].

    `dataset[i] -> (x, int)`, which `torch.utils.data.DataLoader` collates by itself.
    `dataset.read(indices) -> (x [B, ...], int64 [B])` reads a batch at once. A subclass defines `load`.

    Attributes:
        name: of the data set or the folder.
        split: "train", "valid", "test", ...
        shape: (C, H, W) of an image or a frame.
        channels: C.
        size: W in pixels; images are square.
        T: frames of a sample; None: the samples are images.
        classes: number of classes, or None if there are no labels.
        class_names: their names, by default their numbers.
        labels: int64 [len], -1 where there is none.
        directed: whether a mirrored or turned sample belongs to another class.
        workers: loader processes that pay for this data set.
        sha256: of the unzipped contents of each of its files, where its loader tells: the identity of the data.
        published: whether it is one of the data sets known by name, in its published order.
        notes: what was guessed, converted or passed over on reading, a line each.

    Raises:
        ValueError: a label outside -1..classes - 1.
    """

    T: int | None = None
    directed = False
    workers = 0
    sha256: tuple[str, ...] = ()
    published = False
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        split: str,
        shape: tuple[int, int, int],
        labels: Tensor,
        classes: int | None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if classes is not None and len(labels) and not -1 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"{name}, {split}: labels must lie in 0..{classes - 1}, one for each of {classes} classes, found "
                f"{labels.min()} to {labels.max()}; its files are damaged, fetch them again"
            )
        self.name = name
        self.split = split
        self.shape = shape
        self.channels, _, self.size = shape
        self.labels = labels
        self.classes = classes
        self.class_names = tuple(class_names or map(str, range(classes or 0)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.load([index])[0], int(self.labels[index])

    def read(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Samples [B, ...] with their labels int64 [B]."""
        return self.load(indices), self.labels[indices]

    def load(self, indices: Sequence[int]) -> Tensor:
        """Samples [B, ...]."""
        raise NotImplementedError

    @property
    def told(self) -> dict[str, list[str]]:
        """The notes as part of a record, {"data_notes": [...]}; empty where there are none."""
        return {"data_notes": list(self.notes)} if self.notes else {}

    def digests(self, indices: Sequence[int]) -> Iterator[bytes]:
        """SHA-256 of each of these samples as it is stored, its label aside: equal for copies of one."""
        for start in range(0, len(indices), 1000):
            for sample in self.load(indices[start : start + 1000]):
                yield hashlib.sha256(sample.contiguous().numpy().data).digest()

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, in hexadecimal digits, of all samples and labels in their order; everything is read when asked."""
        total = hashlib.sha256(self.labels.to(torch.int64).numpy().astype("<i8").tobytes())
        for digest in self.digests(range(len(self))):
            total.update(digest)
        return total.hexdigest()

    def contents(self) -> Tensor:
        """A number for each sample, int64 [len]: equal for copies of one, whatever their labels."""
        numbers: dict[bytes, int] = {}
        return torch.tensor([numbers.setdefault(one, len(numbers)) for one in self.digests(range(len(self)))])

    def __repr__(self) -> str:
        what = "images" if self.T is None else f"samples of {self.T} frames"
        shape = " x ".join(map(str, self.shape))
        return f"{type(self).__name__}({self.name}, {self.split}: {len(self)} {what} of {shape})"


class Subset(LabelledDataset):
    """Some samples of a data set.

    Args:
        dataset: what they are taken from.
        indices: int64 [n], which.
        split: what to call them; None: as `dataset` does.
    """

    def __init__(self, dataset: LabelledDataset, indices: Tensor, split: str | None = None) -> None:
        labels = dataset.labels[indices]
        super().__init__(
            dataset.name, split or dataset.split, dataset.shape, labels, dataset.classes, dataset.class_names
        )
        self.dataset = dataset
        self.indices = indices
        self.T, self.directed, self.workers, self.notes = dataset.T, dataset.directed, dataset.workers, dataset.notes
        self.published = dataset.published

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.dataset.load(self._of_whole(indices))

    def digests(self, indices: Sequence[int]) -> Iterator[bytes]:
        return self.dataset.digests(self._of_whole(indices))

    def contents(self) -> Tensor:
        return self.dataset.contents()[self.indices]

    def _of_whole(self, indices: Sequence[int]) -> list[int]:
        return self.indices[torch.as_tensor(indices)].tolist()


def split_off(dataset: LabelledDataset, fraction: float, seed: int = SPLIT_SEED) -> tuple[Subset, Subset]:
    """Hold a part of every class of a training split out, by which settings may be chosen.

    Copies of a sample stay on its side, which a warning tells.

    Args:
        dataset: the training split.
        fraction: part of each class to hold out, in [0, 1).
        seed: 0..2^32 - 1, of the choice, see `validation_split`.

    Returns:
        (train, valid).

    Raises:
        ValueError: a fraction or seed outside its range.
    """
    contents = dataset.contents()
    train, valid = validation_split(dataset.labels, fraction, seed, contents)
    if copies := len(contents) - len(contents.unique()):
        warn_once(
            log,
            f"{dataset.name}, {dataset.split}: {copies:,} samples are copies of others; they stay on one side of the "
            "validation split",
        )
    return Subset(dataset, train, "train"), Subset(dataset, valid, "valid")


def limited(dataset: LabelledDataset, n: int | None) -> LabelledDataset:
    """n samples of a data set, in its order: those that come first in `numpy.random.RandomState(0).permutation`.

    The same for every run, whose split says so ("train, 1000 of 60000"); the samples of a smaller n are among those of
    a larger one.

    Args:
        dataset: what to take them from.
        n: how many, at least 1; None, or at least as many as there are: all.

    Raises:
        ValueError: n < 1.
    """
    if n is not None and n < 1:
        raise ValueError(f"a data set is limited to at least 1 sample, found {n}")
    if n is None or n >= len(dataset):
        return dataset
    chosen = np.sort(np.random.RandomState(SPLIT_SEED).permutation(len(dataset))[:n])
    return Subset(dataset, torch.from_numpy(chosen), f"{dataset.split}, {n} of {len(dataset)}")


def some(dataset: LabelledDataset, n: int) -> LabelledDataset:
    """n samples for a figure, all if there are fewer: those of `limited`; of a published data set the first ones.

    One that is published class after class is drawn from too. The split says which they are: "test, 64 of 10000" or
    "test, the first 64 of 10000".

    Raises:
        ValueError: n < 1.
    """
    if not 1 <= n < len(dataset) or not dataset.published or by_class(dataset.labels):
        return limited(dataset, n)
    return Subset(dataset, torch.arange(n), f"{dataset.split}, the first {n} of {len(dataset)}")


def by_class(labels: Tensor) -> bool:
    """Whether labels [N] of more than one class come one class after the other."""
    return 1 < len(labels.unique()) == len(labels.unique_consecutive())
