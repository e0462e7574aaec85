"""The data sets known by name: digits, mnist, fashion-mnist, cifar10, cifar100, celeba. torchvision downloads them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .idx import read_idx
from .image_dataset import FileImages, ImageDataset, MemoryImages

DIGITS_TRAIN = 1500  # of 1797
MNIST_PREFIXES = {"train": "train", "test": "t10k"}
MNIST_FILES = [f"{p}-{kind}-ubyte.gz" for p in MNIST_PREFIXES.values() for kind in ("images-idx3", "labels-idx1")]
CIFAR10_FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
CIFAR100_FILES = ["train", "test", "meta"]
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CELEBA_PARTITION = {"train": "0", "valid": "1", "test": "2"}
CELEBA_CROP = 148


def load_digits(split: str, size: int, root: Path, download: bool) -> MemoryImages:
    """scikit-learn's 1,797 digits of 8x8, split by a fixed permutation. Needs no files.

    A border of one black pixel is put around each digit, since most touch the edge; 10x10 is resized by PIL bicubic.
    """
    from sklearn import datasets

    digits = datasets.load_digits()  # images float64 [1797, 8, 8] in 0..16
    order = np.random.RandomState(0).permutation(len(digits.images))
    order = order[:DIGITS_TRAIN] if split == "train" else order[DIGITS_TRAIN:]
    pixels = np.round(digits.images[order] * (255 / 16)).astype(np.uint8)
    pixels = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    images = _resize(pixels, size, Image.Resampling.BICUBIC)
    return MemoryImages("digits", split, images, torch.from_numpy(digits.target[order]).long(), 10)


def load_mnist(name: str, folder: str, split: str, size: int, root: Path, download: bool) -> MemoryImages:
    """root/`folder`/raw/*.gz, or the same files unpacked, read in place. `folder` is torchvision's class."""
    raw, prefix = root / folder / "raw", MNIST_PREFIXES[split]
    paths = [raw / f"{prefix}-images-idx3-ubyte.gz", raw / f"{prefix}-labels-idx1-ubyte.gz"]
    _require(name, paths, download, lambda: _torchvision(folder)(root, download=True))
    images, labels = (
        read_idx(path if path.exists() else path.with_suffix(""), axes)
        for path, axes in zip(paths, (3, 1), strict=True)
    )
    if len(images) != len(labels):
        raise ValueError(
            f"{paths[0]} holds {len(images)} images, {paths[1].name} {len(labels)} labels; fetch both again"
        )
    names = CLOTHES if name == "fashion-mnist" else None
    return MemoryImages(name, split, _resize(images, size), torch.from_numpy(labels.astype(np.int64)), 10, names)


def load_cifar(name: str, dataset: str, split: str, size: int, root: Path, download: bool) -> MemoryImages:
    """root/cifar-10-batches-py/ or root/cifar-100-python/, read by torchvision's `dataset` after its md5 check."""
    cifar = _torchvision(dataset)
    folder = root / cifar.base_folder
    _require(name, [root / file for file in FILES[name]], download, lambda: cifar(root, download=True))
    try:
        data = cifar(root, train=split == "train")
    except RuntimeError as error:
        raise ValueError(
            f"a file in {folder.absolute()} fails its md5 check; delete the folder and fetch it again"
        ) from error
    labels = torch.tensor(data.targets)
    return MemoryImages(name, split, _resize(data.data, size), labels, len(data.classes), data.classes)


def load_celeba(split: str, size: int, root: Path, download: bool) -> FileImages:
    """root/celeba/img_align_celeba/*.jpg, split by root/celeba/list_eval_partition.txt. No labels."""
    folder = root / "celeba"
    images, partition = folder / "img_align_celeba", folder / "list_eval_partition.txt"
    _require("celeba", [images, partition], download, lambda: _torchvision("CelebA")(root, split="all", download=True))
    rows = [line.split() for line in partition.read_text().splitlines()]  # file name, part
    if any(len(row) != 2 for row in rows):
        raise ValueError(
            f"{partition.absolute()} is damaged: expected a file name and 0, 1 or 2 on each line; fetch it again"
        )
    paths = [images / name for name, part in rows if part == CELEBA_PARTITION[split]]
    labels = torch.full((len(paths),), -1)
    return FileImages("celeba", split, paths, labels, None, channels=3, size=size, crop=CELEBA_CROP)


FILES = {  # what each data set needs below the root
    "digits": [],
    "mnist": [f"MNIST/raw/{name}" for name in MNIST_FILES],
    "fashion-mnist": [f"FashionMNIST/raw/{name}" for name in MNIST_FILES],
    "cifar10": [f"cifar-10-batches-py/{name}" for name in CIFAR10_FILES],
    "cifar100": [f"cifar-100-python/{name}" for name in CIFAR100_FILES],
    "celeba": ["celeba/img_align_celeba", "celeba/list_eval_partition.txt"],
}


def missing_files(name: str, root: Path) -> list[Path]:
    """The files of a data set that are not below `root`."""
    return _missing([root / file for file in FILES[name]])


Loader = Callable[[str, int, Path, bool], ImageDataset]  # split, size, root, download

SOURCES: dict[str, tuple[Loader, tuple[str, ...]]] = {  # name: how to load it, its splits
    "digits": (load_digits, ("train", "test")),
    "mnist": (partial(load_mnist, "mnist", "MNIST"), ("train", "test")),
    "fashion-mnist": (partial(load_mnist, "fashion-mnist", "FashionMNIST"), ("train", "test")),
    "cifar10": (partial(load_cifar, "cifar10", "CIFAR10"), ("train", "test")),
    "cifar100": (partial(load_cifar, "cifar100", "CIFAR100"), ("train", "test")),
    "celeba": (load_celeba, ("train", "valid", "test")),
}


def _torchvision(name: str) -> type:
    from torchvision import datasets

    return getattr(datasets, name)


def _require(name: str, paths: list[Path], download: bool, fetch: Callable[[], object]) -> None:
    """Fetch the files if some are missing and that is allowed; fail with their names if some are missing still."""
    if download and _missing(paths):
        try:
            fetch()
        except Exception as error:  # torchvision raises RuntimeError, HTTPError, URLError, ...
            raise OSError(f"{name}: the download failed ({error}); fetch the files by hand:\n{_list(paths)}") from error
    if missing := _missing(paths):
        raise FileNotFoundError(
            f"{name}: missing\n{_list(missing)}\n"
            "Put them there, point --data-root (root=) or $FSVAE_TCJA_DATA to the folder that has them, "
            "or fetch them with --download (download=True)."
        )


def _list(paths: list[Path]) -> str:
    return "\n".join(f"  {path.absolute()}" for path in paths)


def _missing(paths: list[Path]) -> list[Path]:
    """The paths that do not exist; a .gz file may also be there unpacked."""
    return [path for path in paths if not (path.exists() or (path.suffix == ".gz" and path.with_suffix("").exists()))]


def _resize(images: np.ndarray, size: int, method: Image.Resampling = Image.Resampling.BILINEAR) -> Tensor:
    """uint8 [N, H, W] or [N, H, W, 3] -> uint8 [N, C, size, size], each image by PIL."""
    resized = [np.asarray(Image.fromarray(image).resize((size, size), method)) for image in images]
    return torch.from_numpy(np.stack(resized)).view(len(images), size, size, -1).permute(0, 3, 1, 2).contiguous()
