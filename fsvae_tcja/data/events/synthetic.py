"""The synthetic event set: moving shapes in the files and folders of N-MNIST."""

from pathlib import Path

import numpy as np

from ...utils.atomic import replacing_folder
from .formats import write_atis
from .moving import SHAPES, record

SYNTHETIC_SET = "synthetic-events"
DIRECTIONS = ("right", "left", "up", "down")
SIZE = (34, 34)  # H, W in pixels


def draw_synthetic_set(folder: Path, train: int = 250, test: int = 50) -> None:
    """Write recordings of 34 x 34 pixels, drawn by seed 0, as Train/CLASS/*.bin and Test/CLASS/*.bin.

    The classes are the directions right, left, up and down; shape, size, contrast, place and speed are random, and no
    single frame tells a direction from its opposite, as `moving` explains. The folder is whole or not there.

    Args:
        folder: what to make.
        train: training recordings of each class.
        test: test recordings of each class.
    """
    rng = np.random.default_rng(0)
    with replacing_folder(folder) as temporary:
        for split, n in (("Train", train), ("Test", test)):
            for direction in DIRECTIONS:
                (temporary / split / direction).mkdir(parents=True)
                for i in range(n):
                    shape, radius = rng.choice(list(SHAPES)), rng.uniform(3, 6)
                    events = record(direction, shape, radius, rng, SIZE)
                    write_atis(temporary / split / direction / f"{i:05d}.bin", events)
