"""Inception Score: the exponential of the mutual information between images and predicted classes."""

import numpy as np
import torch
from torch import Tensor

from .processes import total

SHUFFLE_SEED = 2020  # torch-fidelity's


def check_splits(n: int, splits: int) -> None:
    """Raise ValueError if there are fewer images than splits."""
    if n < splits:
        raise ValueError(f"an Inception Score over {splits} splits needs at least {splits} images, found {n}")


def split_of_each(n: int, splits: int, shuffled: bool) -> Tensor:
    """int64 [n]: the split of each image; as even as can be, in order or after torch-fidelity's permutation.

    Raises:
        ValueError: fewer images than splits.
    """
    check_splits(n, splits)
    bounds = torch.arange(splits + 1) * n // splits
    split = torch.repeat_interleave(torch.arange(splits), bounds.diff())
    if shuffled:
        order = torch.from_numpy(np.random.RandomState(SHUFFLE_SEED).permutation(n))
        split = torch.empty_like(split).scatter_(0, order, split)
    return split


class InceptionScore:
    """Streaming Inception Score, O(splits x classes) memory, float64.

    With p_i the predictions of the n_s images of a split s and q their mean,

        IS_s = exp( mean_i sum_k p_ik (log p_ik - log q_k) )
             = exp( (sum_i sum_k p_ik log p_ik) / n_s - sum_k q_k log q_k )

    Args:
        split: int64 [n], the split of each image.
        classes: number of classes.
        device: where to sum.
    """

    def __init__(self, split: Tensor, classes: int, device: torch.device | str = "cpu") -> None:
        splits = int(split.max()) + 1
        self.split = split.to(device)
        self.counts = torch.zeros(splits, dtype=torch.float64, device=device)  # [S]
        self.predictions = torch.zeros(splits, classes, dtype=torch.float64, device=device)  # [S, K], sum of p
        self.certainty = torch.zeros(splits, dtype=torch.float64, device=device)  # [S], sum of p log p

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    def update(self, logits: Tensor, start: int) -> None:
        """Take logits [B, K] of the images start .. start + B - 1.

        Raises:
            ValueError: NaN or infinite logits.
        """
        if not logits.isfinite().all():
            raise ValueError("the logits hold NaN or infinite values: check the images and the extractor's weights")
        logits = logits.to(self.predictions.device).double()
        p = logits.softmax(1)
        split = self.split[start : start + len(logits)]
        self.counts += torch.bincount(split, minlength=len(self.counts))
        self.predictions.index_add_(0, split, p)
        self.certainty.index_add_(0, split, (p * logits.log_softmax(1)).sum(1))

    def reduce(self) -> None:
        """Join what all processes have seen."""
        self.counts, self.predictions, self.certainty = map(total, (self.counts, self.predictions, self.certainty))

    def value(self) -> tuple[float, float]:
        """Mean and (population) standard deviation over the splits."""
        q = self.predictions / self.counts[:, None]
        scores = (self.certainty / self.counts - torch.xlogy(q, q).sum(1)).exp()
        return scores.mean().item(), scores.std(correction=0).item()
