"""The learning rate of every step."""

from math import cos, pi

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

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


def scheduler(optimizer: Optimizer, config: Stage, done: int, total: int) -> LambdaLR:
    """A scheduler that has set the rate of the next step, after `done` steps of `total`."""
    for group in optimizer.param_groups:
        group["initial_lr"] = config.lr
    return LambdaLR(optimizer, lambda step: factor(config, step, total), last_epoch=done - 1)
