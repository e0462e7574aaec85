"""scikit-learn's handwritten digits."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..image_dataset import MemoryImages
from ..resize import resized
from .record import ImageSet

TRAIN = 1500  # of 1797


def load(split: str, size: int | None, files: list[Path]) -> MemoryImages:
    """1,797 digits of 8x8, split by the permutation of `numpy.random.RandomState(0)`.

    A border of one black pixel is put around each digit, since most touch the edge; 10x10 is resized by PIL bicubic.
    """
    from sklearn import datasets

    digits = datasets.load_digits()  # images float64 [1797, 8, 8] in 0..16
    order = np.random.RandomState(0).permutation(len(digits.images))
    order = order[:TRAIN] if split == "train" else order[TRAIN:]
    pixels = np.round(digits.images[order] * (255 / 16)).astype(np.uint8)
    pixels = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    images = resized(pixels, size, Image.Resampling.BICUBIC)
    return MemoryImages("digits", split, images, torch.from_numpy(digits.target[order]).long(), 10)


DIGITS = ImageSet(
    load, {"train": (), "test": ()}, "1,797 handwritten digits of 8x8 that come with scikit-learn", training=TRAIN
)
