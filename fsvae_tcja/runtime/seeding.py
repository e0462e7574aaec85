"""Random generators, each derived from the run's seed and from what it is for.

Nothing random is stored in a checkpoint: step 500 draws the same numbers whether the run was interrupted or not.
"""

from enum import IntEnum

import numpy as np
import torch

from ..utils.shares import Generator, known_share


class Purpose(IntEnum):
    """What a random stream is for; part of its seed."""

    ORDER = 0
    STEP = 1


def word(seed: int, purpose: Purpose, index: int = 0) -> int:
    """The seed of item `index` (an epoch, a step) of one purpose."""
    return int(np.random.SeedSequence([seed, int(purpose), index]).generate_state(1)[0])


def generator(seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """A CPU generator for item `index` of one purpose."""
    return torch.Generator().manual_seed(word(seed, purpose, index))


def home(device: torch.device) -> torch.device:
    """Where the random numbers of a step are drawn: on a GPU there, one kernel each and nothing to copy; else the CPU.

    The GPU's are other numbers than the CPU's, and as exactly those of (seed, step).
    """
    return device if device.type == "cuda" else torch.device("cpu")


def on_host(generator: torch.Generator) -> torch.Generator:
    """A generator for what the host must know: itself on the CPU, else one there with the same seed."""
    if generator.device.type == "cpu":
        return generator
    host = Generator()
    host.share = known_share(generator)
    return host.manual_seed(generator.initial_seed())
