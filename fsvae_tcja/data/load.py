"""Data sets by name or folder, and batches of them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..utils.spelling import did_you_mean
from .folder import load_folder
from .image_dataset import ImageDataset
from .image_sets import SOURCES

ROOT_VARIABLE = "FSVAE_TCJA_DATA"


def data_root(path: str | Path | None = None) -> Path:
    """Where the data sets lie: `path`, else $FSVAE_TCJA_DATA, else ./data."""
    return Path(path or os.environ.get(ROOT_VARIABLE) or "data").expanduser()


def load_images(
    name_or_folder: str | Path,
    split: str = "train",
    *,
    size: int = 32,
    root: str | Path | None = None,
    download: bool = False,
) -> ImageDataset:
    """A split of a data set as uint8 images [C, size, size]. Nothing is augmented.

    | name                 | files below `root`, in torchvision's layout                | splits             |
    |----------------------|------------------------------------------------------------|--------------------|
    | digits               | none: 8x8 digits that come with scikit-learn               | train, test        |
    | mnist, fashion-mnist | MNIST/raw/, FashionMNIST/raw/: idx files, gzipped or not   | train, test        |
    | cifar10, cifar100    | cifar-10-batches-py/, cifar-100-python/                    | train, test        |
    | celeba               | celeba/: img_align_celeba/, list_eval_partition.txt        | train, valid, test |
    | any other path       | a folder of images: see `load_folder`                      | train, test, all   |

    Images of another size are resized by PIL bilinear (digits: bicubic, see `load_digits`); CelebA is first cut to its
    148 x 148 centre. A folder that is
    called like a data set is reached as "./mnist" or as a Path.

    Args:
        name_or_folder: a name of the table or a folder.
        split: which part. Digits are split 1,500 to 297 by a fixed permutation.
        size: height and width, in pixels.
        root: see `data_root`.
        download: fetch what is missing through torchvision.

    Raises:
        FileNotFoundError: files are missing and `download` is False; the message names them.
        ValueError: unknown name or split, or a damaged file; the message names it.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, found {size}")
    if name_or_folder in SOURCES:
        load, splits = SOURCES[name_or_folder]
        if split not in splits:
            raise ValueError(f"unknown split {split!r}: {name_or_folder} has the splits {', '.join(splits)}")
        return load(split, size, data_root(root), download)
    folder = Path(name_or_folder).expanduser()
    if isinstance(name_or_folder, str) and folder.name == name_or_folder and not folder.exists():
        raise ValueError(
            f"unknown data set {name_or_folder!r}{did_you_mean(name_or_folder, SOURCES)}: choose one of "
            f"{list(SOURCES)} or a folder of images"
        )
    return load_folder(folder, split, size)


def batches(
    dataset: ImageDataset, batch_size: int, *, order: Tensor | None = None, num_workers: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over (images uint8 [B, C, S, S], labels int64 [B]); the last batch may be smaller.

    Args:
        dataset: what to read.
        batch_size: images per batch, B >= 1.
        order: int64 [n], the indices to read; None reads all in order.
        num_workers: processes that load ahead; None takes `dataset.workers` if there is more than one batch. The
            batches do not depend on it.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    if order is None:
        order = torch.arange(len(dataset))
    indices = [part.tolist() for part in order.split(batch_size) if len(part)]
    if num_workers is None:
        num_workers = dataset.workers if len(indices) > 1 else 0
    # DataLoader draws a seed at every start: a generator of its own leaves the global one alone.
    generator = torch.Generator()
    loader = DataLoader(
        dataset,
        batch_sampler=indices,
        collate_fn=_as_is,
        num_workers=num_workers,
        generator=generator,
        worker_init_fn=_leave_the_group,
    )
    return _plain_errors(loader)


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


def _as_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch
