"""Where images come from: a tensor, an array file, a folder, a data set, a loader, a checkpoint of ours, or a callable.

Every source hands out batches by position: batch g holds the images g B .. (g + 1) B - 1, whoever asks. Process r of R
takes the batches r, r + R, ..., so any number of processes sees the same batches.
"""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from fsvae_tcja.data import IMAGE_SETS, LabelledDataset, MemoryImages, load_images, parse_name
from fsvae_tcja.data.folder import inspect_folder, load_folder
from fsvae_tcja.data.names import check_named
from fsvae_tcja.data.shards import inspect_shards, load_shards, means_shards
from fsvae_tcja.runtime.run import MODEL
from fsvae_tcja.utils.memory import check_fits
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.processes import rank, world
from fsvae_tcja.utils.spelling import did_you_mean

from .arrays import reading
from .containers import from_array, images_of, joined, labels_beside, of_stream
from .images import RANGES, ValueRange, canonical, regroup, too_few
from .randomness import isolated_randomness

USUAL = 32  # height and width of images of a data set where nothing says another
BATCH = 256
"""Images per batch where a score does not depend on it."""
WEIGHTS = (".pt", ".pth")
"""Names of PyTorch's own files end so."""
LARGE = 512
"""Height and width up to which nobody asks how much memory there is."""

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


def open_images(
    what: Any,
    *,
    value_range: ValueRange | None = None,
    size: int | None = None,
    root: str | Path | None = None,
    download: bool = False,
    name: str | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    split: str | None = None,
    usual_size: int = 0,
) -> Source:
    """Anything that holds or draws images, as a source.

    Args:
        what: a tensor or array; a callable (start, count) -> images; a path to a folder or tar shards ("mine", or
            "mine:test" for a split of it as `load_images` has it), .npy, .npz, a run folder or checkpoint of ours; an
            `FSVAE`; the name of a data set and a split, "mnist:test", which no Path is; a PyTorch Dataset or
            DataLoader, a list, or any iterable of batches or single images, packed as `images_of` has it; a pair
            (images, labels). Tensors and batches are [N, C, H, W]; arrays may be [N, H, W] and [N, H, W, C] too.
        value_range: range of floating point pixels, which have to state it. 8-bit images are 0..255 without it; where
            it is 0..1 they have to be 0 and 1.
        size: height and width of data sets (32 if None) and folders (that of the images if None, which must agree);
            other images must have it. Data sets are resized as `load_images` says; `pixels` of the source says what
            happens to a folder.
        root: where data sets lie, see `data_root`.
        download: fetch a data set that is missing.
        name: what to call it in reports.
        seed: that a checkpoint draws on; image i depends on (seed, i) alone.
        device: where a checkpoint draws.
        split: of a data set or a folder with splits whose name says none; None: "test" of a data set, all of a folder.
        usual_size: of data sets and folders where size is None; 0: as `size` has it.

    Raises:
        FileNotFoundError: a path that does not exist.
        ValueError: anything else, an empty folder, or a file that holds no images.
    """
    if value_range is not None and value_range not in RANGES:
        raise ValueError(f"unknown value range {value_range!r}: choose one of {', '.join(RANGES)}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, found {size}")
    stated: _Stated = {"value_range": value_range, "size": size}
    if isinstance(what, Source):
        _check_range(what, value_range)
        return what
    if isinstance(what, (str, Path)):
        return _open_path(what, _Opening(stated, root, download, name, seed, device, split, usual_size))
    if isinstance(what, np.ndarray):
        what = from_array(what)
    if isinstance(what, Tensor):
        return _in_memory(what, name or "a tensor", stated)
    if isinstance(what, LabelledDataset):
        return _open_dataset(what, name, stated)
    if (labels := labels_beside(what)) is not None:
        return _in_memory(images_of(what), name or "a pair", stated, labels)
    if isinstance(what, (list, tuple)):
        return _in_memory(joined(what), name or "a list", stated)
    if isinstance(what, Mapping):
        return _in_memory(images_of(what), name or "a dictionary", stated)
    if isinstance(what, Dataset):
        what = DataLoader(what, BATCH, collate_fn=joined)
    if isinstance(what, DataLoader):
        return _open_loader(what, name or "a loader", stated)
    if isinstance(what, Iterable):
        return StreamedImages(name or "a stream", None, what, **stated)
    if isinstance(what, Module) and (drawn := _of_model(what, seed, name)):
        return drawn
    if callable(what):
        return _of_callable(what, name or "a generator", seed, stated)
    raise ValueError(
        f"cannot take images from {type(what).__name__}: give a tensor, an array, a path, a data set, a loader or a "
        "callable (start, count) -> images"
    )


def _of_model(what: Module, seed: int, name: str | None) -> Source | None:
    """A generative model of ours; None: another module, which may be a callable like any other."""
    from .checkpoints import open_model  # brings the model

    return open_model(what, seed, name)


class _Stated(TypedDict):
    """What the caller says of the images."""

    value_range: ValueRange | None
    size: int | None


def _of_callable(draw: Draw, name: str, seed: int, stated: _Stated) -> IndexedImages:
    """Images of a generator, for which the global random state follows from the seed."""

    def on_seed(seed: int) -> IndexedImages:
        return IndexedImages(
            name, None, lambda start, count: images_of(draw(start, count)), seed=seed, on_seed=on_seed, **stated
        )

    return on_seed(seed)


def _in_memory(images: Tensor, name: str, stated: _Stated, labels: Tensor | None = None) -> IndexedImages:
    images = images.detach()
    return IndexedImages(name, len(images), lambda start, count: images[start : start + count], labels=labels, **stated)


def _open_loader(loader: DataLoader[Any], name: str, stated: _Stated) -> StreamedImages:
    """A DataLoader. Its length is known, and it can be drawn from, if it reads each item of its data set once."""
    if not _reads_all(loader):
        return StreamedImages(name, None, loader, **stated)

    def select(positions: list[int]) -> Iterable[Any]:
        return DataLoader(
            loader.dataset,
            loader.batch_size,
            sampler=positions,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )

    sampler: Any = loader.sampler
    return StreamedImages(name, len(sampler), loader, select, **stated)


def _reads_all(loader: DataLoader[Any]) -> bool:
    plain = type(loader.batch_sampler) is BatchSampler and not loader.drop_last
    sampler: Any = loader.sampler
    if isinstance(sampler, RandomSampler):
        return plain and not sampler.replacement and len(sampler) == len(sampler.data_source)
    return plain and isinstance(sampler, SequentialSampler)


@dataclass(frozen=True)
class _Opening:
    """How a path is opened, by the arguments of `open_images`."""

    stated: _Stated
    root: str | Path | None
    download: bool
    name: str | None
    seed: int
    device: torch.device | str
    split: str | None
    usual_size: int


def _open_path(what: str | Path, how: _Opening) -> Source:
    check_named(what)
    text, split = parse_name(what if isinstance(what, str) else str(what.absolute()))

    def sibling(split: str) -> Source:
        with once_per_machine():
            return _open_path(f"{text}:{split}", replace(how, name=None, split=None))

    if text in IMAGE_SETS:
        source = _open_set(text, split or how.split or "test", how)
        return replace(source, sibling=sibling, named=split is not None)
    path = Path(text).expanduser()
    if (drawn := _open_weights(path, how)) is not None:
        return drawn
    if path.suffix in (".npy", ".npz"):
        images, labels = _read_arrays(path)
        return _in_memory(images, how.name or path.name, how.stated, labels)
    _check_place(path, text)
    source = _open_folder(path, split, how)
    return source if source.split is None else replace(source, sibling=sibling, named=split is not None)


def _open_set(name: str, split: str, how: _Opening) -> IndexedImages:
    """A split of a data set, at the size that is asked for, else that of the drawn images, else the usual one."""
    size = how.stated["size"]
    taken = size or how.usual_size or USUAL
    _check_memory(name, split, taken, how.root, how.download)
    dataset = load_images(name, split, size=taken, root=how.root, download=how.download)
    source = _open_dataset(dataset, how.name, how.stated)
    told = f"{source.name}: taken at {taken} x {taken}, the size of the drawn images"
    return replace(source, notes=(told,) if size is None and taken != USUAL else ())


def _open_weights(path: Path, how: _Opening) -> Source | None:
    """A checkpoint or a run folder; None: it is neither, nor other weights."""
    if path.suffix != ".safetensors" and not (path / MODEL).is_file():
        return None
    from .checkpoints import find_checkpoint, open_checkpoint  # brings the model

    if (checkpoint := find_checkpoint(path)) is None:
        raise ValueError(f"{path} holds weights or statistics, no images and no checkpoint that draws some")
    source = open_checkpoint(checkpoint, how.seed, how.device)
    _check_range(source, how.stated["value_range"])
    return replace(source, name=how.name or source.name, size=how.stated["size"])


def _check_place(path: Path, text: str) -> None:
    """Refuse what is neither a folder nor shards; `text` is what the caller called it."""
    if path.is_file() and path.suffix in WEIGHTS:
        raise ValueError(
            f"{path} is no images; if it is a model of the FSVAE 2022 program, score what this makes of it: "
            f"fsvae-tcja import {shlex.quote(str(path))} --out ours.safetensors"
        )
    if means_shards(path):
        return
    if path.is_file() or (not path.exists() and path.suffix):
        raise ValueError(
            f"cannot take images from {path}: give a folder, an .npy or .npz, a run folder or checkpoint, or one of "
            f"{list(IMAGE_SETS)}"
        )
    if not path.exists():
        raise FileNotFoundError(
            f"there is no folder of images {path.absolute()}, and no data set of that name"
            f"{did_you_mean(text, IMAGE_SETS)}: these are "
            f"{list(IMAGE_SETS)}, with their split as in mnist:test"
        )


def _check_range(source: Source, stated: ValueRange | None) -> None:
    """Refuse another range than a source has."""
    if stated not in (None, source.value_range):
        raise ValueError(f"{source.name}: its pixels are in {source.value_range}, {stated} was stated; leave it out")


def _check_memory(name: str, split: str, size: int, root: str | Path | None, download: bool) -> None:
    """Refuse to bring a data set to a size for which there is no memory."""
    if size <= LARGE:
        return
    dataset = load_images(name, split, size=USUAL, root=root, download=download)
    held = len(dataset) if isinstance(dataset, MemoryImages) else 0
    _check_size(f"{name} {split}", held, dataset.channels, size)


def _check_size(name: str, held: int, channels: int, size: int) -> None:
    """Refuse images of a size for which there is no memory: those held, and a batch in 32 bits."""
    bytes_of = channels * size**2
    needed = held * bytes_of + BATCH * bytes_of * 4
    check_fits(needed, f"{name} at {size:,} x {size:,} pixels", "take a smaller size (size, --size)")


def _open_dataset(dataset: LabelledDataset, name: str | None, stated: _Stated) -> IndexedImages:
    data_set, split = (dataset.name, dataset.split) if dataset.published else (None, None)
    return IndexedImages(
        name or f"{dataset.name} {dataset.split}",
        len(dataset),
        _draw(dataset),
        data_set=data_set,
        split=split,
        labels=_known(dataset),
        **stated,
    )


def _open_folder(folder: Path, split: str | None, how: _Opening) -> IndexedImages:
    """A folder or tar shards, at the size that is asked for, else that of the drawn images, else its own.

    Where its subfolders are splits, that which is said is taken, else the default, else all, and a note says so.
    """
    shards, size = means_shards(folder), how.stated["size"] or how.usual_size or None
    contents = inspect_shards(folder, how.root) if shards else inspect_folder(folder)
    notes: list[str] = []
    if split is None and contents.is_split:
        split, found = how.split or "all", ", ".join(sorted(contents.files.keys() - {"all"}))
        if split not in contents.files:
            raise ValueError(f"{folder} has the splits {found} and no {split}: say which, {folder}:SPLIT")
        if split == "all":
            notes.append(
                f"{folder.name}: all {len(contents):,} images of its splits {found}; say {folder.name}:test for one"
            )
    split = split or "all"
    if size is not None:
        _check_size(str(folder), 0, contents.channels, size)
    dataset = load_shards(folder, split, size, how.root) if shards else load_folder(folder, split, size)
    name = how.name or (dataset.name if split == "all" else f"{dataset.name} {split}")
    pixels = None if size is None else _resized({*contents.sizes_of[dataset.split]}, size)
    if how.stated["size"] is None and pixels:
        notes.append(f"{name}: {pixels}, the size of the drawn images")
    return IndexedImages(
        name,
        len(dataset),
        _draw(dataset),
        folder=dataset.name,
        split=None if split == "all" else split,
        pixels=pixels,
        size=size,
        value_range=how.stated["value_range"],
        labels=_known(dataset),
        notes=tuple(notes),
    )


def _known(dataset: LabelledDataset) -> Tensor | None:
    return dataset.labels if dataset.classes is not None else None


def _draw(dataset: LabelledDataset) -> Draw:
    return lambda start, count: dataset.load(list(range(start, start + count)))


def _resized(found: set[tuple[int, int]], size: int) -> str | None:
    """What `read_image` does to images of these widths and heights; None: nothing."""
    if found == {(size, size)}:
        return None
    sizes = sorted({f"{width}" if width == height else f"{width} x {height}" for width, height in found})
    before = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"
    cut = ", centre crop" if any(width != height for width, height in found) else ""
    return f"{before} to {size}, PIL bilinear{cut}"


def _read_arrays(path: Path) -> tuple[Tensor, Tensor | None]:
    """The images in an .npy, or in an .npz as its only array or the one called "images", and "labels" beside them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, pickled, or not images.
    """
    with reading(path, f"cannot read images from {path}"):
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return from_array(content), None
        with content:
            key = content.files[0] if len(content.files) == 1 else "images"
            if key not in content.files:
                raise ValueError(f"it holds the arrays {content.files}, none called images")
            images = from_array(content[key])
            return images, labels_beside((images, content["labels"])) if "labels" in content.files else None
