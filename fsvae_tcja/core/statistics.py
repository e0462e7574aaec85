"""The norm of a batch by the batch's own statistics, as y = scale x + shift, with the gradient through these."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..utils.processes import total
from .kernels.common.layout import channels_last
from .kernels.moments.register import moments_backward, moments_forward
from .norm import TDBatchNorm, affine
from .shared import of_all


class Normed(NamedTuple):
    """A batch y [S, C, ...], not normalised, and what normalises it."""

    y: Tensor
    """The batch itself; used in place of the one before, and nowhere but in operations whose gradient of y is a tensor
    of its own, like `fire`: the backward pass writes into it."""
    space: Tensor
    """Its mean over space [S, C]."""
    mean: Tensor
    """[C], without gradient, as the next."""
    var: Tensor
    """[C], biased."""
    scale: Tensor
    """[C]."""
    shift: Tensor
    """[C]."""


def by_own_statistics(y: Tensor, norm: TDBatchNorm) -> Normed:
    """y [S, C, ...] and how the norm scales and shifts it in training."""
    return Normed(*_ByOwnStatistics.apply(y, norm.weight, norm.bias, norm.scale, norm.eps, norm.part))


class _ByOwnStatistics(torch.autograd.Function):
    """One node of the graph in place of ten. With r = 1 / sqrt(var + eps), g = factor * weight:

    scale = g r             dg = r dscale',  dscale' = dscale - mean dshift
    shift = bias - scale mean                dmean = -scale dshift,  dvar = -r^3 / 2 g dscale'

    Of a part of a batch, mean and var are those of the batch: core/shared.py.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, factor: float, eps: float, part: float
    ) -> tuple[Tensor, ...]:
        space, mean, var = moments_forward(y)
        if part < 1:
            mean, var = of_all(mean, var, part)
        g, r = weight * factor, torch.rsqrt(var + eps)
        scale, shift = affine(g, bias, mean, r)
        ctx.save_for_backward(y, mean, g, r, scale)
        ctx.factor, ctx.part = factor, part
        ctx.mark_non_differentiable(mean, var)
        return y.view_as(y), space, mean, var, scale, shift

    @staticmethod
    def backward(
        ctx: Any, dy: Tensor, dspace: Tensor, _: Any, __: Any, dscale: Tensor, dshift: Tensor
    ) -> tuple[Any, ...]:
        y, mean, g, r, scale = ctx.saved_tensors
        dscale = dscale - dshift * mean
        dmean, dvar = -dshift * scale, -0.5 * (dscale * g) * r.pow(3)
        if ctx.part < 1:
            dmean, dvar = ctx.part * total(torch.stack([dmean, dvar]))
        dy = channels_last(dy)
        moments_backward(dy, dspace, dmean, dvar, y, mean)
        return dy, dscale * r * ctx.factor, dshift, None, None, None
