"""Scoring while training: images are drawn on a fixed seed, and the training's random state is not touched."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_randomness(seed: int | None) -> Iterator[None]:
    """Within, the global generators of Python, NumPy and PyTorch start from `seed`; after, they are as before."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed % 2**32)
                torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
