"""Whatever holds or draws images, opened: tensors, arrays, lists, loaders, data sets, models, callables, paths."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from fsvae_tcja.data import LabelledDataset

from .containers import from_array, images_of, joined, labels_beside
from .images import RANGES, ValueRange
from .paths import Opening, check_range, open_path
from .sources import BATCH, Draw, IndexedImages, Source, Stated, StreamedImages, from_dataset, in_memory


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
    stated: Stated = {"value_range": value_range, "size": size}
    if isinstance(what, Source):
        check_range(what, value_range)
        return what
    if isinstance(what, (str, Path)):
        return open_path(what, Opening(stated, root, download, name, seed, device, split, usual_size))
    if isinstance(what, np.ndarray):
        what = from_array(what)
    if isinstance(what, Tensor):
        return in_memory(what, name or "a tensor", stated)
    if isinstance(what, LabelledDataset):
        return from_dataset(what, name, stated)
    if (labels := labels_beside(what)) is not None:
        return in_memory(images_of(what), name or "a pair", stated, labels)
    if isinstance(what, (list, tuple)):
        return in_memory(joined(what), name or "a list", stated)
    if isinstance(what, Mapping):
        return in_memory(images_of(what), name or "a dictionary", stated)
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


def _of_callable(draw: Draw, name: str, seed: int, stated: Stated) -> IndexedImages:
    """Images of a generator, for which the global random state follows from the seed."""

    def on_seed(seed: int) -> IndexedImages:
        return IndexedImages(
            name, None, lambda start, count: images_of(draw(start, count)), seed=seed, on_seed=on_seed, **stated
        )

    return on_seed(seed)


def _open_loader(loader: DataLoader[Any], name: str, stated: Stated) -> StreamedImages:
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
