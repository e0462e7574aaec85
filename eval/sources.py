"""Where images come from: a tensor, an array file, a folder, a data set, a loader, a checkpoint of ours, or a callable.

Every source hands out batches by position: batch g holds the images g B .. (g + 1) B - 1, whoever asks. Process r of R
takes the batches r, r + R, ..., so any number of processes sees the same batches.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fsvae_tcja.data import IMAGE_SETS, LabelledDataset, load_images, parse_name
from fsvae_tcja.data.folder import load_folder
from fsvae_tcja.data.image_file import read_header
from fsvae_tcja.runtime.run import MODEL
from fsvae_tcja.utils.processes import rank, world

from .arrays import FLOATING, check_type, reading
from .images import RANGES, ValueRange, canonical, regroup, too_few
from .randomness import isolated_randomness

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
    split: str | None = field(default=None, kw_only=True)
    """Which part of it."""
    pixels: str | None = field(default=None, kw_only=True)
    """How they were brought to their size here, "28 to 32, PIL bilinear"; None: they come as they are."""
    value_range: ValueRange | None = field(default=None, kw_only=True)
    """Stated range of floating point pixels; None: there are none."""
    seed: int | None = field(default=None, kw_only=True)
    """Seed that they are drawn with, where they are drawn here on a seed."""

    @property
    def endless(self) -> bool:
        """Whether they are drawn as they are asked for."""
        return False

    @abstractmethod
    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        """(position of the first, images [B, C, H, W]) for this process, of the first n images (None: all).

        Draws that use the global random state depend on (seed, position of the batch), not on the process.
        """


@dataclass(frozen=True)
class IndexedImages(Source):
    """Images that can be had by position."""

    draw: Draw

    @property
    def endless(self) -> bool:
        return self.n is None

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        n = self.n if n is None else n
        if n is None:
            raise ValueError(f"{self.name} draws as many images as one likes: say how many to score (n, --n-images)")
        if self.n is not None and self.n < n:
            raise too_few(n, self.n)
        for start in range(rank() * batch, n, world() * batch):
            count = min(batch, n - start)
            with isolated_randomness(seed, start):
                drawn = self.draw(start, count)
            images = canonical(drawn, self.value_range)
            if len(images) != count:
                raise ValueError(f"{self.name} was asked for {count} images and gave {len(images)}")
            yield start, images


@dataclass(frozen=True)
class StreamedImages(Source):
    """Images that can only be read in order; every process reads them all and keeps its own."""

    stream: Iterable[Any]

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        images = (canonical(_first(item), self.value_range) for item in self.stream)
        for index, group in enumerate(regroup(images, batch, n)):
            if index % world() == rank():
                yield index * batch, group


def _first(item: Any) -> Tensor:
    """The images of a loader's batch: the batch itself, or the first of (images, labels, ...)."""
    return item[0] if isinstance(item, (tuple, list)) else item


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
) -> Source:
    """Anything that holds or draws images, as a source.

    Args:
        what: a tensor or array; a callable (start, count) -> images; a path to a folder ("mine", or "mine:test"
            for a split of it as `load_images` has it), .npy, .npz, a run folder or checkpoint of ours; the name of a
            data set and a split, "mnist:test"; a `LabelledDataset` of images; a DataLoader or any iterable of batches
            or of (images, labels). Tensors and batches are [N, C, H, W]; arrays may be [N, H, W] and [N, H, W, C] too.
        value_range: range of floating point pixels, which have to state it; 8-bit images are always 0..255.
        size: height and width of data sets (32 if None) and folders (that of the images if None, which must agree).
            Data sets are resized as `load_images` says; `pixels` of the source says what happens to a folder.
        root: where data sets lie, see `data_root`.
        download: fetch a data set that is missing.
        name: what to call it in reports.
        seed: that a checkpoint draws on; image i depends on (seed, i) alone.
        device: where a checkpoint draws.

    Raises:
        FileNotFoundError: a path that does not exist.
        ValueError: anything else, an empty folder, or a file that holds no images.
    """
    if value_range is not None and value_range not in RANGES:
        raise ValueError(f"unknown value range {value_range!r}: choose one of {', '.join(RANGES)}")
    if isinstance(what, Source):
        return what
    if isinstance(what, (str, Path)):
        return _open_path(what, value_range, size, root, download, name, seed, device)
    if isinstance(what, np.ndarray):
        what = _tensor(what)
    if isinstance(what, Tensor):
        return IndexedImages(
            name or "a tensor", len(what), lambda start, count: what[start : start + count], value_range=value_range
        )
    if isinstance(what, LabelledDataset):
        return _open_dataset(what, name)
    if isinstance(what, Iterable):
        return StreamedImages(name or "a loader", None, what, value_range=value_range)
    if callable(what):
        return IndexedImages(name or "a generator", None, what, value_range=value_range)
    raise ValueError(
        f"cannot take images from {type(what).__name__}: give a tensor, an array, a path, a data set, a loader or a "
        "callable (start, count) -> images"
    )


def _open_path(
    what: str | Path,
    value_range: ValueRange | None,
    size: int | None,
    root: str | Path | None,
    download: bool,
    name: str | None,
    seed: int,
    device: torch.device | str,
) -> Source:
    text, split = parse_name(str(what))
    if text in IMAGE_SETS:
        return _open_dataset(load_images(text, split or "test", size=size or 32, root=root, download=download), name)
    path = Path(text).expanduser()
    if path.suffix == ".safetensors" or (path / MODEL).is_file():
        from .checkpoints import find_checkpoint, open_checkpoint  # brings the model

        if (checkpoint := find_checkpoint(path)) is not None:
            return open_checkpoint(checkpoint, seed, device)
        if path.exists():
            raise ValueError(f"{path} holds weights or statistics, no images and no checkpoint that draws some")
    if path.suffix in (".npy", ".npz"):
        images = _read_arrays(path)
        return open_images(images, value_range=value_range, name=name or path.name)
    if path.is_file() or (not path.exists() and path.suffix):
        raise ValueError(
            f"cannot take images from {path}: give a folder, an .npy or .npz, a run folder or checkpoint, or one of "
            f"{list(IMAGE_SETS)}"
        )
    if not path.exists():
        raise FileNotFoundError(
            f"there is no folder of images {path.absolute()}, and no data set of that name: these are "
            f"{list(IMAGE_SETS)}, with their split as in mnist:test"
        )
    return _open_folder(path, split or "all", size, name)


def _open_dataset(dataset: LabelledDataset, name: str | None) -> IndexedImages:
    data_set, split = (dataset.name, dataset.split) if dataset.name in IMAGE_SETS else (None, None)
    name = name or f"{dataset.name} {dataset.split}"
    return IndexedImages(name, len(dataset), _draw(dataset), data_set=data_set, split=split)


def _open_folder(folder: Path, split: str, size: int | None, name: str | None) -> IndexedImages:
    """A folder at the size of its images, all of one size, unless another size is asked for."""
    dataset = load_folder(folder, split, size)
    pixels = None
    if size is not None:
        pixels = _resized({(header.width, header.height) for header in map(read_header, dataset.paths)}, size)
    name = name or (dataset.name if split == "all" else f"{dataset.name} {split}")
    return IndexedImages(name, len(dataset), _draw(dataset), pixels=pixels)


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


def _read_arrays(path: Path) -> Tensor:
    """The images in an .npy, or in an .npz as its only array or the one called "images".

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, pickled, or not images.
    """
    with reading(path, f"cannot read images from {path}"):
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return _tensor(content)
        with content:
            key = content.files[0] if len(content.files) == 1 else "images"
            if key not in content.files:
                raise ValueError(f"it holds the arrays {content.files}, none called images")
            return _tensor(content[key])


def _tensor(array: np.ndarray) -> Tensor:
    """[N, H, W], [N, H, W, C] or [N, C, H, W] -> [N, C, H, W]."""
    check_type(array, (np.dtype(np.uint8), *FLOATING), "pixels")
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.dim() == 3:
        return tensor.unsqueeze(1)
    if tensor.dim() == 4 and tensor.shape[1] in (1, 3):
        return tensor
    if tensor.dim() == 4 and tensor.shape[3] in (1, 3):
        return tensor.permute(0, 3, 1, 2)
    raise ValueError(f"expected images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, found {array.shape}")
