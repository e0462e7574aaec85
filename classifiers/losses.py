"""What training minimises. Outputs are [T, N, K]; targets are class numbers [N] or probabilities [N, K]."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Loss = Literal["smse", "smse-paper", "tet", "cross-entropy"]


def one_hot(targets: Tensor, classes: int) -> Tensor:
    """Class numbers [N] -> [N, K] of 0 and 1; probabilities stay.

    Raises:
        ValueError: targets of another shape; on the CPU a class number outside 0..K-1, for which a GPU would be waited
            for.
    """
    if targets.is_floating_point():
        if targets.dim() != 2 or targets.shape[1] != classes:
            raise ValueError(f"targets must be [N] class numbers or [N, {classes}], found {list(targets.shape)}")
        return targets
    if targets.dim() != 1:
        raise ValueError(f"targets must be [N] class numbers or [N, {classes}], found {list(targets.shape)}")
    if targets.device.type == "cpu":
        check_labels(targets, classes)
    return F.one_hot(targets, classes).float()


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise a ValueError unless class numbers [N] lie in 0..classes - 1."""
    if labels.numel() and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels must lie in 0..{classes - 1}, found {labels.min().item()} to {labels.max().item()}; "
            "the network has one output per class of the data set"
        )


def smse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Spike mean squared error of the TCJA programs: (mean_t s - y)^2, mean over N and K."""
    return F.mse_loss(outputs.mean(0), one_hot(targets, outputs.shape[2]))


def smse_paper(outputs: Tensor, targets: Tensor) -> Tensor:
    """Spike mean squared error of the TCJA paper: (s_t - y)^2, mean over T, N and K."""
    return (outputs - one_hot(targets, outputs.shape[2])).square().mean()


def tet(outputs: Tensor, targets: Tensor, regular: float = 1e-3, target: float = 1.0) -> Tensor:
    """Temporal efficient training (arXiv 2202.11946): (1 - l) mean_t CE(o_t, y) + l mean (o - target)^2.

    Args:
        outputs: logits [T, N, K].
        targets: [N] or [N, K].
        regular: l in [0, 1].
        target: value to which the regulariser draws every output.
    """
    T, _, classes = outputs.shape
    y = one_hot(targets, classes)
    entropy = F.cross_entropy(outputs.flatten(0, 1), y.repeat(T, 1))  # mean over T and N
    return (1 - regular) * entropy + regular * (outputs - target).square().mean()


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """CE(mean_t o_t, y), mean over N."""
    return F.cross_entropy(outputs.mean(0), one_hot(targets, outputs.shape[2]))


LOSSES = {"smse": smse, "smse-paper": smse_paper, "tet": tet, "cross-entropy": cross_entropy}
