"""Which clusters hold the images of a label, for a prior that was told clusters in place of labels."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LabelCounts:
    """How many training images of each label lie in each cluster.

    Args:
        counts: int64 [clusters, labels] >= 0, on the CPU.

    Raises:
        ValueError: anything else.
    """

    counts: Tensor

    def __post_init__(self) -> None:
        counts = self.counts
        if counts.dtype != torch.int64 or counts.dim() != 2 or not counts.numel() or counts.min() < 0:
            raise ValueError(
                f"counts must be int64 [clusters, labels] >= 0, found {counts.dtype} {list(counts.shape)} "
                f"{counts.flatten()[:8].tolist()}"
            )

    @classmethod
    def of(cls, which: Tensor, labels: Tensor, clusters: int) -> "LabelCounts | None":
        """Those of images in clusters `which` int64 [n] with labels int64 [n], -1 where there is none.

        None: there is no label, or there are more than clusters, of which most then cannot have one of their own.
        """
        width = int(labels.max()) + 1
        if not 0 < width <= clusters:
            return None
        known = labels >= 0
        places = which[known] * width + labels[known]
        return cls(torch.bincount(places, minlength=clusters * width).view(clusters, width).cpu())

    @property
    def shares(self) -> Tensor:
        """p(label | cluster), float64 [clusters, labels]; 0 in an empty cluster."""
        return self.counts.double() / self.counts.sum(1, keepdim=True).clamp(min=1)

    @property
    def weights(self) -> Tensor:
        """How often clusters are drawn for a label: p(cluster | label) p(label | cluster) up to a factor, float64
        [clusters, labels].

        The prior draws any image of a cluster. The second factor passes over clusters that are mostly of other labels;
        the first alone would draw from them as from any.
        """
        return self.counts * self.shares

    def purity(self, label: int) -> float:
        """The share of a label among the training images of the clusters that are drawn for it, so weighted."""
        weights = self.weights[:, label]
        return float(weights @ self.shares[:, label] / weights.sum())

    def draw(self, labels: Tensor, chance: Tensor) -> Tensor:
        """A cluster for each label, int64 [N].

        Args:
            labels: int64 [N], each of some image.
            chance: [N] uniform in [0, 1), on the same device.
        """
        weights = self.weights.cumsum(0)
        below = (weights / weights[-1]).T.to(labels.device)
        return (below[labels] <= chance[:, None]).sum(1)
