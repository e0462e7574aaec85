"""The learning rate of every step."""

from math import cos, pi

from torch import Tensor
from torch.optim import Optimizer

from .config import Stage


def factor(config: Stage, step: int, total: int) -> float:
    """By what `lr` is multiplied in a step, counted from 0.

    Warm-up of w steps: (step + 1) / w while step < w. After it 1, or the half cosine (1 + cos(pi r)) / 2, with r from 0
    at the first step after the warm-up to 1 at the last step.
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.schedule == "constant":
        return 1.0
    last = total - 1 - config.warmup
    return (1 + cos(pi * min(1.0, (step - config.warmup) / last))) / 2 if last > 0 else 1.0


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Take steps of this learning rate; one that is a tensor stays where it is, as a recorded step reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
