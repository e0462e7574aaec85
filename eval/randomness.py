"""Scoring while training: images are drawn on a fixed seed, and the training's random state is not touched."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def check_seed(seed: int | None) -> None:
    """Raise ValueError for a seed that the generators cannot take."""
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"seed must be in 0..2^63 - 1, found {seed}")


@contextmanager
def isolated_randomness(seed: int = 0, start: int = 0) -> Iterator[None]:
    """Within, the global generators of Python, NumPy and PyTorch start from `seed`; after, they are as before.

    Args:
        seed: random seed.
        start: position of the images to be drawn: the same whichever process draws them, others at another position.
    """
    python, numpy = random.getstate(), np.random.get_state()
    word = seed if start == 0 else int(np.random.SeedSequence([seed, start]).generate_state(1)[0])
    try:
        with torch.random.fork_rng(_gpus()), _cuda_unseen_as_before(), _mps_as_before():
            random.seed(word)
            np.random.seed(word % 2**32)
            torch.manual_seed(word)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _gpus() -> list[int]:
    """Those that have a random state; a process that computes on the CPU takes no memory of a GPU."""
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []


@contextmanager
def _cuda_unseen_as_before() -> Iterator[None]:
    """`torch.manual_seed` is remembered for GPUs that are not yet in use: they start from the seed of before."""
    before = torch.initial_seed()
    try:
        yield
    finally:
        if not torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(before)


@contextmanager
def _mps_as_before() -> Iterator[None]:
    """`fork_rng` leaves MPS out where it forks CUDA alone; `torch.manual_seed` never does."""
    if not torch.backends.mps.is_available():
        yield
        return
    state = torch.mps.get_rng_state()
    try:
        yield
    finally:
        torch.mps.set_rng_state(state)
