"""The synthetic event set: moving shapes in the files and folders of N-MNIST."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

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
    with whole(folder) as temporary:
        for split, n in (("Train", train), ("Test", test)):
            for direction in DIRECTIONS:
                (temporary / split / direction).mkdir(parents=True)
                for i in range(n):
                    shape, radius = rng.choice(list(SHAPES)), rng.uniform(3, 6)
                    events = record(direction, shape, radius, rng, SIZE)
                    write_atis(temporary / split / direction / f"{i:05d}.bin", events)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block ends well, and is deleted if it raises."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same files
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
