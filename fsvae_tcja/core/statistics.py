"""The norm of a batch by the batch's own statistics, as y = scale x + shift, with the gradient through these."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..utils.processes import total
from .kernels.common.layout import channels_last
from .kernels.moments.register import moments_backward, moments_forward
from .kernels.norm.reference import Tables
from .norm import TDBatchNorm, tables_of
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
    """One node of the graph in place of ten; the equations of the tables stand in kernels/norm/reference.py.

    Of a part of a batch, mean and var are those of the batch: core/shared.py.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, factor: float, eps: float, part: float
    ) -> tuple[Tensor, ...]:
        space, mean, var = moments_forward(y)
        if part < 1:
            mean, var = of_all(mean, var, part)
        tables = tables_of(mean).affine(weight, bias, mean, var, factor, eps)
        ctx.save_for_backward(y, mean, *tables)
        ctx.factor, ctx.part = factor, part
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        return y.view_as(y), space, mean, var, tables.scale, tables.shift

    @staticmethod
    def backward(
        ctx: Any,
        dy: Tensor | None,
        dspace: Tensor | None,
        _: Any,
        __: Any,
        dscale: Tensor | None,
        dshift: Tensor | None,
    ) -> tuple[Any, ...]:
        y, mean, *rest = ctx.saved_tensors
        tables = Tables(*rest)
        dscale, dshift = (torch.zeros_like(mean) if d is None else d for d in (dscale, dshift))
        dweight, dmean, dvar = tables_of(mean).gradients(dscale, dshift, mean, tables, ctx.factor)
        if ctx.part < 1:
            dmean, dvar = ctx.part * total(torch.stack([dmean, dvar]))
        dy = channels_last(torch.zeros_like(y) if dy is None else dy)
        moments_backward(dy, dspace, dmean, dvar, y, mean)
        return dy, dweight, dshift, None, None, None
