"""The part of a batch that one of several processes has, and random numbers for it.

All processes draw the numbers of the whole batch from the same generator, and each takes those of its images: what an
image gets does not depend on the number of processes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .processes import rank, total, world


class Share(NamedTuple):
    """Images first .. first + n - 1 of a batch of `whole`."""

    first: int
    n: int
    whole: int

    def take(self, x: Tensor, axis: int = 0) -> Tensor:
        """The part of x that belongs to these images; x has those of the whole batch on `axis`."""
        return x.narrow(axis, self.first, self.n)

    def put(self, x: Tensor) -> Tensor:
        """What each process has of x, [n, ...], put together: [whole, ...], with the gradient through it."""
        before, behind = (x.new_zeros(n, *x.shape[1:]) for n in (self.first, self.whole - self.first - self.n))
        return total(torch.cat([before, x, behind]))


class Generator(torch.Generator):
    """A generator of the random numbers of a batch.

    Attributes:
        share: the images that this process has of it; None: all.
    """

    share: Share | None = None


def share_of(batch: int) -> Share:
    """What this process has of a batch, in the order of the processes; the parts differ by one image at most.

    Raises:
        ValueError: there is not an image for each process.
    """
    if batch < world():
        raise ValueError(
            f"{world()} processes cannot share {batch} image(s), a batch or a part of one that is computed at once; "
            "start fewer processes, or choose another batch_size (or accumulate)"
        )
    first, end = (batch * r // world() for r in (rank(), rank() + 1))
    return Share(first, end - first, batch)


def known_share(generator: torch.Generator | None) -> Share | None:
    """The share that a generator tells; None: it knows of no other processes."""
    return generator.share if isinstance(generator, Generator) else None


def gathered(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """What all processes have of x, [n, ...]: [whole, ...], with the gradient through it; x where there are no others.

    For a loss that is no mean over images: each process computes it of the whole batch.
    """
    share = known_share(generator)
    return x if share is None else share.put(x)


def drawn(draw: Callable[[int], Tensor], n: int, generator: torch.Generator | None, axis: int = 0) -> Tensor:
    """Random numbers for the n images of this process.

    Args:
        draw: from a number of images to numbers of the generator, with the images on `axis`.
        n: images here.
        generator: tells which images they are.
        axis: of the images.
    """
    share = known_share(generator)
    return draw(n) if share is None else share.take(draw(share.whole), axis)
