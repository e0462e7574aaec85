"""A part of a data set for quick trials."""

import numpy as np
from torch.utils.data import Dataset, Subset


def limited(dataset: Dataset, n: int | None) -> Dataset:
    """n items of a data set, in its order: the first of `numpy.random.RandomState(0).permutation`; None: all."""
    if n is None or n >= len(dataset):
        return dataset
    part = Subset(dataset, np.sort(np.random.RandomState(0).permutation(len(dataset))[:n]).tolist())
    part.workers = dataset.workers
    return part
