"""Labelled data of every kind, static or event-based, cut into train, valid and test."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fsvae_tcja.data.events import EVENT_SETS, load_events
from fsvae_tcja.data.events.dataset import EventFrames
from fsvae_tcja.data.events.frames import SliceBy
from fsvae_tcja.data.image_dataset import ImageDataset
from fsvae_tcja.data.image_sets import SOURCES
from fsvae_tcja.data.load import load_images
from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.data.splits import validation_split
from fsvae_tcja.utils.spelling import did_you_mean

from .config import ClassifierConfig

IMAGE_SETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")  # with labels, of runtime.sources
SPLIT_SEED = 0  # of every split that a data set does not come with: fixed, so that results can be compared


class LabelledImages(Dataset):
    """Some images of a data set, by index.

    Attributes:
        name, split: of the data set and the part.
        shape: (C, H, W) of an input.
        class_names: one for each class.
        labels: int64 [len].
        workers: loader processes that pay.
    """

    def __init__(self, images: Dataset, split: str, indices: Tensor) -> None:
        self.images = images
        self.split = split
        self.indices = indices
        self.name = images.name
        self.shape = (images.channels, images.size, images.size)
        self.class_names = images.class_names
        self.labels = images.labels[indices]
        self.workers = images.workers

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[int(self.indices[index])]

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.images.__getitems__(self.indices[torch.as_tensor(indices)].tolist())


LabelledData = LabelledImages | EventFrames


def located(name: str) -> str:
    """The name of a data set as it is; of a folder its absolute path, so that it is found from elsewhere too.

    Raises:
        ValueError: neither.
    """
    if name in SOURCES or name in EVENT_SETS:
        return name
    folder = Path(name).expanduser()
    if str(folder) == name == folder.name and not folder.exists():
        raise ValueError(
            f"unknown data set {name!r}{did_you_mean(name, [*IMAGE_SETS, *EVENT_SETS])}: choose one of "
            f"{list(IMAGE_SETS)}, of the event sets {list(EVENT_SETS)}, or a folder with a folder of images for each "
            "class"
        )
    return str(folder.absolute())


def load_split(
    name: str,
    split: str,
    config: ClassifierConfig,
    *,
    slices: SliceBy = "count",
    validation: float = 0.1,
    root: Path | None = None,
    download: bool = False,
) -> LabelledData:
    """A split of a data set for a model.

    Args:
        name: of an image set or an event set, or a folder with a folder of images for each class.
        split: "train", "valid" or "test". "valid" is cut from the training split, per class, by a fixed seed.
        config: of the model: shape and T of the data.
        slices: how recordings are cut into T frames, by equal event "count" or equal "time".
        validation: part of each class of the training split that becomes "valid", in [0, 1).
        root: folder of the data sets.
        download: fetch missing images.

    Raises:
        ValueError: an unknown name, labels missing or out of range, or data that does not fit the model's input or
            number of classes, which is found before recordings are read.
        FileNotFoundError: missing files.
    """
    name = located(name)
    if name in EVENT_SETS:
        events = EVENT_SETS[name]
        _check_fit(name, (EventFrames.channels, *events.size), events.classes, config)
        return load_events(name, split, T=config.T, by=slices, root=root, valid=validation, seed=SPLIT_SEED)
    return _load_images(name, split, config, validation, root, download)


def _load_images(
    name: str, split: str, config: ClassifierConfig, validation: float, root: Path | None, download: bool
) -> LabelledImages:
    _, height, width = config.shape
    if height != width:
        raise ValueError(f"images are square, the model takes {height}x{width}; set model.shape")
    if split not in ("train", "valid", "test"):
        raise ValueError(f"unknown split {split!r}: choose train, valid or test")
    images = load_images(name, "test" if split == "test" else "train", size=height, root=root, download=download)
    if images.classes is None or (images.labels < 0).any():
        raise ValueError(
            f"{images.name} has images without a label; a classifier needs a folder for each class (FOLDER/CLASS/*.png)"
        )
    _check_labels(images)
    _check_fit(images.name, (images.channels, images.size, images.size), images.classes, config)
    if split == "test":
        return LabelledImages(images, split, torch.arange(len(images)))
    train, valid = validation_split(images.labels, validation, SPLIT_SEED)
    return LabelledImages(images, split, train if split == "train" else valid)


def _check_labels(images: ImageDataset) -> None:
    if len(images) and images.labels.max() >= images.classes:
        raise ValueError(
            f"{images.name}, {images.split}: labels must lie in 0..{images.classes - 1}, one for each of "
            f"{images.classes} classes, found {images.labels.min()} to {images.labels.max()}; its files are damaged, "
            "fetch them again"
        )


def _check_fit(name: str, shape: tuple[int, ...], classes: int, config: ClassifierConfig) -> None:
    if shape != tuple(config.shape):
        raise ValueError(
            f"the model takes inputs [C, H, W] = {list(config.shape)}, {name} gives {list(shape)}; "
            f"set --model.shape {' '.join(map(str, shape))}"
        )
    if classes != config.classes:
        raise ValueError(
            f"the model has {config.classes} classes, {name} {classes}; set --model.classes and the last layers to "
            "that number"
        )


def to_input(x: Tensor) -> Tensor:
    """What a batch becomes for the network, still batch first.

    Images uint8 [B, C, H, W] -> float in [-1, 1]; event counts int16 [B, T, 2, H, W] -> float counts.
    """
    return to_float(x) if x.dtype == torch.uint8 else x.float()


def time_first(x: Tensor) -> Tensor:
    """[B, T, C, H, W] -> [T, B, C, H, W]; images [B, C, H, W] stay."""
    return x.transpose(0, 1) if x.dim() == 5 else x
