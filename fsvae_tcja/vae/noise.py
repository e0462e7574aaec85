"""Where a latent's random numbers come from: a stream for each image, or one generator for a whole batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ..utils.shares import drawn
from . import philox


class Source(ABC):
    """Random numbers for n images.

    Args:
        n: how many images.
        device: where the numbers are drawn.
    """

    def __init__(self, n: int, device: torch.device | str) -> None:
        self.n = n
        self.device = device

    @abstractmethod
    def integers(self, k: int, steps: int, width: int) -> Tensor:
        """Uniform whole numbers in 0..k-1, int64 [steps, n, width]."""

    @abstractmethod
    def uniform(self, steps: int, width: int) -> Tensor:
        """Uniform numbers in [0, 1), float32 [steps, n, width]."""

    def normal(self, steps: int, width: int) -> Tensor:
        """Standard normal numbers, float32 [steps, n, width], each of one uniform number: within 5.4 of 0."""
        return torch.special.ndtri(self.uniform(steps, width).clamp(min=2**-25))


def check_seed(seed: int) -> None:
    """Raise a ValueError unless it is a random seed of `Streams`."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be in 0..2^63 - 1, found {seed}")


class Streams(Source):
    """Images first..first+n-1 of a random seed: what image i gets depends on (seed, i) alone, on every device.

    Raises:
        ValueError: the seed is not in 0..2^63 - 1.
    """

    def __init__(self, seed: int, first: int, n: int, device: torch.device | str = "cpu") -> None:
        super().__init__(n, device)
        check_seed(seed)
        self.seed = seed
        self.first = first
        self.drawn = 0  # tensors so far: each takes other numbers of the stream

    def integers(self, k: int, steps: int, width: int) -> Tensor:
        return self._shaped(philox.integers(k, self._words(steps * width)), steps)

    def uniform(self, steps: int, width: int) -> Tensor:
        return self._shaped(philox.uniform(self._words(steps * width)), steps)

    def _words(self, length: int) -> Tensor:
        words = philox.words(self.seed, self.first, self.n, length, self.drawn, self.device)
        self.drawn += 1
        return words

    def _shaped(self, numbers: Tensor, steps: int) -> Tensor:
        return numbers.unflatten(1, (steps, -1)).transpose(0, 1)


class Generated(Source):
    """The next numbers of a generator; None takes torch's global one of the device."""

    def __init__(self, n: int, generator: torch.Generator | None, device: torch.device | str = "cpu") -> None:
        super().__init__(n, device if generator is None else generator.device)
        self.generator = generator

    def integers(self, k: int, steps: int, width: int) -> Tensor:
        return self._drawn(lambda n: torch.randint(k, (steps, n, width), generator=self.generator, device=self.device))

    def uniform(self, steps: int, width: int) -> Tensor:
        return self._drawn(lambda n: torch.rand(steps, n, width, generator=self.generator, device=self.device))

    def _drawn(self, draw: Callable[[int], Tensor]) -> Tensor:
        return drawn(draw, self.n, self.generator, axis=1)
