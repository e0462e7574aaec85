"""Distances between features, a part at a time: memory O(n) per part, not O(n^2). All of it in float64."""

from collections.abc import Iterator

import torch
from torch import Tensor

FEW = 1000  # images, fewer of which lie far from one another
PART = 1000  # rows of distances at once
EQUAL = 1e-5  # of a feature's distance from the mean; 8-bit images that differ in one pixel differ by more
ALL = slice(None)


def distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Euclidean distances of features a [N, d] to b [N', d], in parts [n, N']; those of equal images are 0.

    Raises:
        ValueError: features of different lengths.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"cannot compare features of {a.shape[1]} dimensions with features of {b.shape[1]}")
    centre = b.double().mean(0)  # distances come of products: small numbers lose fewer digits
    b = b.double() - centre
    nothing = EQUAL * b.norm(dim=1)  # [N'], above what rounding makes of 0
    for part in a.split(PART):
        found = torch.cdist(part.double() - centre, b)
        yield found.masked_fill_(found < nothing, 0)


def radii(features: Tensor, k: int, which: Tensor | slice = ALL) -> Tensor:
    """float64 [n]: the distance of n of the features [N, d] to the k-th nearest of the others, N > k."""
    # the nearest of all is the feature itself, at 0
    return torch.cat([part.topk(k + 1, largest=False).values[:, k] for part in distances(features[which], features)])


def few_notes(name: str, scored: int, reference: int) -> tuple[str, ...]:
    """A note for few images on either side, among which neighbours are far."""
    n = min(scored, reference)
    why = f"neighbours among {n} images are far from one another, which makes every set look alike"
    return (f"{name}: {why}; take {FEW:,} or more on either side",) * (n < FEW)
