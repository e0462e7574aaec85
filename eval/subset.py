"""Which images of a larger set are scored: drawn by a fixed permutation, since the first ones may be of one class.

The images at `numpy.random.RandomState(0).permutation(N)[:n]`, in that order, for every source whose length N is known.
NumPy keeps that stream for good, and the images of a smaller n are among those of a larger one.
"""

import numpy as np
import torch

from fsvae_tcja.data.dataset import by_class

from .protocols import Protocol, Recipe
from .sources import Source

SEED = 0


def is_drawn(source: Source, n: int | None, protocol: Protocol) -> bool:
    """Whether n images of a source (None: all) are drawn from it; else they are all, or its first ones."""
    longer = n is not None and source.n is not None and n < source.n
    return longer and not _is_published_order(source, protocol)


def drawn(source: Source, n: int) -> Source:
    """n images of a source whose length is known, in the order of the permutation."""
    assert source.n is not None, "drawn of a known number"
    positions = np.random.RandomState(SEED).permutation(source.n)[:n]
    return source.taking(torch.from_numpy(positions))


def subset_note(source: Source, n: int | None, protocol: Protocol) -> tuple[str, ...]:
    """What is to be said of n images of a source: nothing, if they are all."""
    if n is None or source.endless or n == source.n:
        return ()
    if source.n is None:
        which = f"the first {n:,} images of a stream, which cannot be drawn from"
    elif is_drawn(source, n, protocol):
        at = f"numpy.random.RandomState({SEED}).permutation({source.n})[:{n}]"
        which = f"{n:,} of {source.n:,} images, drawn: those at {at}"
    else:
        which = f"the first {n:,} of {source.n:,} images in published order, as protocol {protocol.name} has it"
    return (f"{source.name}: {which}",)


def order_note(source: Source, n: int | None, recipe: Recipe, protocol: Protocol) -> tuple[str, ...]:
    """A note for a score that depends on the order of images which come one class after the other."""
    depends = recipe.batch_norm == "batch" or recipe.split_order == "in order"
    if not depends or is_drawn(source, n, protocol) or source.labels is None or not by_class(source.labels[:n]):
        return ()
    why = f"statistics of batches of {recipe.batch}" if recipe.batch_norm == "batch" else "consecutive splits"
    return (
        f"{source.name} comes one class after the other, and {recipe.score} depends on the order ({why}): shuffle it",
    )


def _is_published_order(source: Source, protocol: Protocol) -> bool:
    in_order = source.data_set is not None and (source.labels is None or not by_class(source.labels))
    return protocol.published_order and in_order
