"""The specification of the tables [C] of a norm. Every fused kernel agrees with this file."""

from typing import NamedTuple

import torch
from torch import Tensor


class Tables(NamedTuple):
    """weight factor (x - mean) / sqrt(var + eps) + bias as scale x + shift; all [C]."""

    scale: Tensor
    shift: Tensor
    g: Tensor
    """factor * weight."""
    r: Tensor
    """1 / sqrt(var + eps)."""


def affine(weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, factor: float, eps: float) -> Tables:
    """The tables by mean and biased variance [C]."""
    g, r = weight * factor, torch.rsqrt(var + eps)
    scale = g * r
    return Tables(scale, bias - scale * mean, g, r)


def gradients(
    dscale: Tensor, dshift: Tensor, mean: Tensor, tables: Tables, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of weight, mean and var; that of bias is dshift.

    dscale' = dscale - mean dshift,  dweight = factor r dscale',  dmean = -scale dshift,  dvar = -r^3 / 2 g dscale'
    """
    dscale = dscale - dshift * mean
    dvar = -0.5 * (dscale * tables.g) * tables.r.pow(3)
    return dscale * tables.r * factor, -dshift * tables.scale, dvar


def track(
    running_mean: Tensor, running_var: Tensor, batches: Tensor, mean: Tensor, var: Tensor, count: int,
    momentum: float | None, where: Tensor | None = None,
) -> None:  # fmt: skip
    """Take mean and biased variance of `count` values into the running statistics, in place, and count the batch.

    momentum None: they are the mean over the batches. where, a bool: whether the batch counts.
    """
    if where is not None and not where:
        return
    batches += 1
    weight = 1 / int(batches) if momentum is None else momentum
    running_mean.lerp_(mean, weight)
    running_var.lerp_(var * (count / (count - 1)), weight)
