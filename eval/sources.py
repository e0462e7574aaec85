"""What images to score are read from: batches by position.

Every source hands out batches by position: batch g holds the images g B .. (g + 1) B - 1, whoever asks. Process r of R
takes the batches r, r + R, ..., so any number of processes sees the same batches.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor

from fsvae_tcja.data import LabelledDataset
from fsvae_tcja.utils.processes import rank, world

from .containers import of_stream
from .images import ValueRange, canonical, regroup, too_few
from .randomness import isolated_randomness

BATCH = 256
"""Images per batch where a score does not depend on it."""

Draw = Callable[[int, int], Tensor]
"""(start, count) -> the images start .. start + count - 1 [count, C, H, W] of a seeded stream.

The global random state is seeded for each call; a state of the callable's own must follow from `start`.
"""


@dataclass(frozen=True)
class Source(ABC):
    """Images with a name."""

    name: str
    n: int | None
    """How many there are; None: endless, or unknown before they are read."""
    data_set: str | None = field(default=None, kw_only=True)
    """Name of the data set that they are of, if of one."""
    folder: str | None = field(default=None, kw_only=True)
    """Name of the folder or the shards that they lie in, if in some."""
    split: str | None = field(default=None, kw_only=True)
    """Which part of it, or of a folder."""
    pixels: str | None = field(default=None, kw_only=True)
    """How they were brought to their size here, "28 to 32, PIL bilinear"; None: they come as they are."""
    size: int | None = field(default=None, kw_only=True)
    """Height and width that were asked for, of images that come as they are."""
    drawn_size: int | None = field(default=None, kw_only=True)
    """Height and width of images that a model draws, which others are brought to."""
    value_range: ValueRange | None = field(default=None, kw_only=True)
    """Stated range of their pixels; None: not stated, 8 bits."""
    seed: int | None = field(default=None, kw_only=True)
    """Seed that they are drawn with, where they are drawn here on a seed."""
    labels: Tensor | None = field(default=None, kw_only=True)
    """int64 [n], their classes where they are known: for notes on their order."""
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """What a reader of their scores must know."""
    sibling: Callable[[str], "Source"] | None = field(default=None, kw_only=True)
    """Another split of what they are of, by its name; None: there is none."""
    named: bool = field(default=False, kw_only=True)
    """Whether the split was asked for by its name."""
    on_seed: Callable[[int], "Source"] | None = field(default=None, kw_only=True)
    """The same drawn on another seed; None: they are there already."""
    parts: "Parts | None" = field(default=None, kw_only=True)
    """What the model that draws them makes besides."""

    @property
    def endless(self) -> bool:
        """Whether they are drawn as they are asked for."""
        return False

    @abstractmethod
    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        """(position of the first, images [B, C, H, W]) for this process, of the first n images (None: all).

        Draws that use the global random state depend on (seed, position of the batch), not on the process.
        """

    def taking(self, positions: Tensor) -> "Source":
        """The images at these positions int64 [n], in this order, of a source whose length is known."""
        raise NotImplementedError

    def checked(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] as they come -> canonical ones, of the size that was asked for."""
        try:
            images = canonical(images, self.value_range)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if self.size is not None and images.shape[2:] != (self.size, self.size):
            height, width = images.shape[2:]
            raise ValueError(
                f"{self.name} holds images of {height} x {width} pixels and is not brought to {self.size} (size, "
                "--size): only data sets and folders are; resize it before, or leave the size out"
            )
        return images


class Parts(Protocol):
    """What a model makes besides drawn images, by which its decoder and its prior are told apart."""

    def reconstructed(self, real: Source) -> Source:
        """The reconstructions of real images, in their order."""
        ...

    def code_nats(self, held_out: Source) -> float | None:
        """Mean length of the codes of images under the prior, in nats an image; None: the prior gives none."""
        ...


@dataclass(frozen=True)
class IndexedImages(Source):
    """Images that can be had by position."""

    draw: Draw
    positions: Tensor | None = None
    """Where its images lie among those that are drawn; None: as they come."""

    @property
    def endless(self) -> bool:
        return self.n is None

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        n = self.n if n is None else n
        if n is None:
            raise not_told(self)
        if self.n is not None and self.n < n:
            raise too_few(n, self.n)
        for start in range(rank() * batch, n, world() * batch):
            count = min(batch, n - start)
            with isolated_randomness(seed, start):
                drawn = self._drawn(start, count)
            images = self.checked(drawn)
            if len(images) != count:
                raise ValueError(f"{self.name} was asked for {count} images and gave {len(images)}")
            yield start, images

    def taking(self, positions: Tensor) -> Source:
        labels = None if self.labels is None else self.labels[positions]
        return replace(self, n=len(positions), positions=positions, labels=labels)

    def _drawn(self, start: int, count: int) -> Tensor:
        if self.positions is None:
            return self.draw(start, count)
        return torch.cat([self.draw(position, 1) for position in self.positions[start : start + count].tolist()])


def not_told(source: Source) -> ValueError:
    """What to raise for a source that is endless, where nobody has said how many of its images to take."""
    return ValueError(f"{source.name} draws as many images as one likes: say how many to score (n, --n-images)")


@dataclass(frozen=True)
class StreamedImages(Source):
    """Images that can only be read in order; every process reads them all and keeps its own."""

    stream: Iterable[Any]
    select: Callable[[list[int]], Iterable[Any]] | None = None
    """Reads the images at these positions alone; None: nothing does, and `n` is None."""

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        for index, group in enumerate(regroup(map(self.checked, of_stream(self.stream)), batch, n)):
            if index % world() == rank():
                yield index * batch, group

    def taking(self, positions: Tensor) -> Source:
        assert self.select, "its length is known"
        return replace(self, n=len(positions), stream=self.select(positions.tolist()))


class Stated(TypedDict):
    """What the caller says of the images."""

    value_range: ValueRange | None
    size: int | None


def in_memory(images: Tensor, name: str, stated: Stated, labels: Tensor | None = None) -> IndexedImages:
    """Images that are there."""
    images = images.detach()
    return IndexedImages(name, len(images), lambda start, count: images[start : start + count], labels=labels, **stated)


def from_dataset(dataset: LabelledDataset, name: str | None, stated: Stated) -> IndexedImages:
    """The images of a data set, in their order."""
    data_set, split = (dataset.name, dataset.split) if dataset.published else (None, None)
    return IndexedImages(
        name or f"{dataset.name} {dataset.split}",
        len(dataset),
        drawn_from(dataset),
        data_set=data_set,
        split=split,
        labels=known_labels(dataset),
        **stated,
    )


def known_labels(dataset: LabelledDataset) -> Tensor | None:
    """The labels of a data set that has classes."""
    return dataset.labels if dataset.classes is not None else None


def drawn_from(dataset: LabelledDataset) -> Draw:
    """Its images by their positions."""
    return lambda start, count: dataset.load(list(range(start, start + count)))
