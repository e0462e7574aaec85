"""Images at a path or under a name: data sets, folders, tar shards, array files, checkpoints and run folders."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fsvae_tcja.data import IMAGE_SETS, MemoryImages, load_images, parse_name
from fsvae_tcja.data.folder import inspect_folder, load_folder
from fsvae_tcja.data.names import check_named
from fsvae_tcja.data.shards import inspect_shards, load_shards, means_shards
from fsvae_tcja.runtime.run import MODEL
from fsvae_tcja.utils.memory import check_fits
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.spelling import did_you_mean

from .arrays import reading
from .containers import from_array, labels_beside
from .images import ValueRange
from .sources import BATCH, IndexedImages, Source, Stated, drawn_from, from_dataset, in_memory, known_labels

USUAL = 32  # height and width of images of a data set where nothing says another
WEIGHTS = (".pt", ".pth")
"""Names of PyTorch's own files end so."""
LARGE = 512
"""Height and width up to which nobody asks how much memory there is."""


@dataclass(frozen=True)
class Opening:
    """How a path is opened, by the arguments of `open_images`."""

    stated: Stated
    root: str | Path | None
    download: bool
    name: str | None
    seed: int
    device: torch.device | str
    split: str | None
    usual_size: int


def open_path(what: str | Path, how: Opening) -> Source:
    """What lies at a path, or is a data set of that name; `open_images` says what there may be.

    Raises:
        FileNotFoundError, ValueError: as `open_images` has it.
    """
    check_named(what)
    text, split = parse_name(what if isinstance(what, str) else str(what.absolute()))

    def sibling(split: str) -> Source:
        with once_per_machine():
            return open_path(f"{text}:{split}", replace(how, name=None, split=None))

    if text in IMAGE_SETS:
        source = _open_set(text, split or how.split or "test", how)
        return replace(source, sibling=sibling, named=split is not None)
    path = Path(text).expanduser()
    if (drawn := _open_weights(path, how)) is not None:
        return drawn
    if path.suffix in (".npy", ".npz"):
        images, labels = _read_arrays(path)
        return in_memory(images, how.name or path.name, how.stated, labels)
    _check_place(path, text)
    source = _open_folder(path, split, how)
    return source if source.split is None else replace(source, sibling=sibling, named=split is not None)


def _open_set(name: str, split: str, how: Opening) -> IndexedImages:
    """A split of a data set, at the size that is asked for, else that of the drawn images, else the usual one."""
    size = how.stated["size"]
    taken = size or how.usual_size or USUAL
    _check_memory(name, split, taken, how.root, how.download)
    dataset = load_images(name, split, size=taken, root=how.root, download=how.download)
    source = from_dataset(dataset, how.name, how.stated)
    told = f"{source.name}: taken at {taken} x {taken}, the size of the drawn images"
    return replace(source, notes=(told,) if size is None and taken != USUAL else ())


def _open_weights(path: Path, how: Opening) -> Source | None:
    """A checkpoint or a run folder; None: it is neither, nor other weights."""
    if path.suffix != ".safetensors" and not (path / MODEL).is_file():
        return None
    from .checkpoints import find_checkpoint, open_checkpoint  # brings the model

    if (checkpoint := find_checkpoint(path)) is None:
        raise ValueError(f"{path} holds weights or statistics, no images and no checkpoint that draws some")
    source = open_checkpoint(checkpoint, how.seed, how.device)
    check_range(source, how.stated["value_range"])
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


def check_range(source: Source, stated: ValueRange | None) -> None:
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


def _open_folder(folder: Path, split: str | None, how: Opening) -> IndexedImages:
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
        drawn_from(dataset),
        folder=dataset.name,
        split=None if split == "all" else split,
        pixels=pixels,
        size=size,
        value_range=how.stated["value_range"],
        labels=known_labels(dataset),
        notes=tuple(notes),
    )


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
