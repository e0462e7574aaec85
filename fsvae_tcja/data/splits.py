"""The validation split, cut from the training data by a fixed rule."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

SPLIT_SEED = 0  # of every split that a data set does not come with: fixed, so that results can be compared


def held_out(n: int, fraction: float) -> int:
    """How many of n to hold out: floor(fraction n), at least one where there are two or more, 0 if fraction is 0."""
    if fraction == 0 or n < 2:
        return 0
    return max(1, int(round(n * fraction, 6)))  # 0.29 * 100 is 28.999...


def whole_groups(keys: Sequence[Hashable], n: int) -> list[bool]:
    """Which of the items to choose so that about n are, and those of one key stay together.

    Every group that still fits, in the order in which they begin; where none does, the smallest. If all keys differ, or
    none, the first n.
    """
    sizes, left = Counter(keys), n
    if len(sizes) == 1:
        return [i < n for i in range(len(keys))]
    chosen = set()
    for key, size in sizes.items():
        if size <= left:
            chosen.add(key)
            left -= size
    if n and sizes and not chosen:
        chosen.add(min(sizes, key=lambda key: sizes[key]))
    return [key in chosen for key in keys]


def validation_split(
    labels: Tensor, fraction: float, seed: int, contents: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Hold out `held_out(n, fraction)` of the n items of every class.

    The rule, for anyone who wants the same split: `numpy.random.RandomState(seed).permutation(len(labels))`, whose
    stream NumPy keeps for good; of each class, the first ones in that order are the validation split. Items of equal
    contents stay together, in the class of the first of them: see `whole_groups`.

    Args:
        labels: integers [N].
        fraction: part of each class to hold out, in [0, 1).
        seed: 0..2^32 - 1.
        contents: int64 [N], equal for items of equal contents; None: all differ.

    Returns:
        (train, valid) indices int64, each in rising order; together they are 0..N - 1.

    Raises:
        ValueError: a fraction or seed outside its range.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the validation fraction must be in [0, 1), found {fraction}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"the seed of a split must be in 0..2^32 - 1, found {seed}")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(labels)))
    contents = torch.arange(len(labels)) if contents is None else contents
    labels = labels[_first_equal(contents)]
    valid = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = order[labels[order] == label]
        chosen = whole_groups(contents[members].tolist(), held_out(len(members), fraction))
        valid[members[torch.tensor(chosen, dtype=torch.bool)]] = True
    return (~valid).nonzero().flatten(), valid.nonzero().flatten()


def _first_equal(keys: Tensor) -> Tensor:
    """For each of N integers the index of the first that is equal to it, int64 [N]."""
    _, first, inverse = np.unique(keys.numpy(), return_index=True, return_inverse=True)
    return torch.from_numpy(first[inverse])


def validation_groups(groups: Sequence[str], fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out whole groups, such as all recordings of a subject: `validation_split` of the sorted names of groups.

    Args:
        groups: of each of the N items.
        fraction: part of the groups to hold out, in [0, 1).
        seed: 0..2^32 - 1.

    Returns:
        (train, valid) and Raises: as `validation_split`.
    """
    names = sorted(set(groups))
    chosen = {names[i] for i in validation_split(torch.zeros(len(names)), fraction, seed)[1]}
    valid = torch.tensor([group in chosen for group in groups], dtype=torch.bool)
    return (~valid).nonzero().flatten(), valid.nonzero().flatten()
