"""The data sets of every kind, static or event-based, cut into train, valid and test, for a classifier."""

from pathlib import Path

from fsvae_tcja.data import EVENT_SETS, LabelledDataset, load_events, load_images, located, split_off
from fsvae_tcja.data.events.frames import SliceBy
from fsvae_tcja.data.load import has_valid

from .config import ClassifierConfig


def load_split(
    name: str,
    split: str,
    config: ClassifierConfig,
    *,
    slices: SliceBy = "count",
    validation: float = 0.1,
    root: Path | None = None,
    download: bool = False,
) -> LabelledDataset:
    """A split of a data set for a model.

    Args:
        name: of an image set or an event set, or a folder with a folder of images for each class.
        split: "train", "valid" or "test". "valid" is that of the set where it has one beside a test split, else cut
            from the training split, per class, by a fixed seed.
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
        _check_fit(name, (2, *events.size), events.classes, config)
        return load_events(name, split, T=config.T, by=slices, root=root, validation=validation)
    _, height, width = config.shape
    if height != width:
        raise ValueError(f"images are square, the model takes {height}x{width}; train one with --model.shape")
    if split not in ("train", "valid", "test"):
        raise ValueError(f"unknown split {split!r}: choose train, valid or test")
    cut = split != "test" and not has_valid(name, root)
    images = load_images(name, "train" if cut else split, size=height, root=root, download=download)
    if images.classes is None or (images.labels < 0).any():
        raise ValueError(
            f"{images.name} has images without a label; a classifier needs a folder for each class (FOLDER/CLASS/*.png)"
        )
    _check_fit(images.name, images.shape, images.classes, config)
    return split_off(images, validation)[split == "valid"] if cut else images


def _check_fit(name: str, shape: tuple[int, ...], classes: int, config: ClassifierConfig) -> None:
    if shape != tuple(config.shape):
        raise ValueError(
            f"the model takes inputs [C, H, W] = {list(config.shape)}, {name} gives {list(shape)}; "
            f"train one with --model.shape {' '.join(map(str, shape))}"
        )
    if classes != config.classes:
        raise ValueError(
            f"the model has {config.classes} classes, {name} {classes}; train one with --model.classes {classes} and "
            "last layers of that number"
        )
