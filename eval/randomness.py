"""Scoring while training: images are drawn on a fixed seed, and the training's random state is not touched."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_randomness(seed: int = 0, start: int = 0) -> Iterator[None]:
    """Within, the global generators of Python, NumPy and PyTorch start from `seed`; after, they are as before.

    Args:
        seed: owner of the randomness.
        start: position of the images to be drawn: the same whichever process draws them, others at another position.
    """
    python, numpy = random.getstate(), np.random.get_state()
    word = seed if start == 0 else int(np.random.SeedSequence([seed % 2**64, start]).generate_state(1)[0])
    try:
        with torch.random.fork_rng():
            random.seed(word)
            np.random.seed(word % 2**32)
            torch.manual_seed(word)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
