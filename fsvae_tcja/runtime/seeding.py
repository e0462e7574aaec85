"""Random generators, each derived from the run's seed and from what it is for.

Nothing random is stored in a checkpoint: step 500 draws the same numbers whether the run was interrupted or not.
"""

from enum import IntEnum

import numpy as np

from ..utils.shares import Generator


class Purpose(IntEnum):
    """What a random stream is for; part of its seed."""

    ORDER = 0
    STEP = 1


def generator(seed: int, purpose: Purpose, index: int = 0) -> Generator:
    """A CPU generator for item `index` (an epoch, a step) of one purpose."""
    word = np.random.SeedSequence([seed, int(purpose), index]).generate_state(1)[0]
    found = Generator()
    found.manual_seed(int(word))
    return found
