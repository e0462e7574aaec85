"""The specification of the LIF neuron, written to be read. Every fused kernel agrees with this file."""

import torch
from torch import Tensor

from ...surrogate import Surrogate


class Fire(torch.autograd.Function):
    """Step function of the membrane with a surrogate derivative."""

    @staticmethod
    def forward(ctx, u: Tensor, v_th: float, strict: bool, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.centre = v_th if surrogate.centre is None else surrogate.centre
        ctx.surrogate = surrogate
        return (u > v_th if strict else u >= v_th).to(u.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(u - ctx.centre), None, None, None


def lif_step(x: Tensor, v: Tensor, params) -> tuple[Tensor, Tensor]:
    """One step: current x and membrane v of one shape -> spikes s_t and post-reset membrane v_t, u in the type of v."""
    u = params.decay * v + params.gain * x.to(v.dtype)  # u_t = decay v_{t-1} + gain x_t
    s = Fire.apply(u, params.v_th, params.strict, params.surrogate)  # s_t = [u_t > v_th]
    r = s.detach() if params.detach_reset else s
    v = u * (1 - r) if params.hard_reset else u - params.v_th * r
    return s.to(x.dtype), v


def lif(x: Tensor, v: Tensor, params) -> tuple[Tensor, Tensor]:
    """x [T, ...], v [...] -> spikes [T, ...], v_T [...]."""
    spikes = []
    for x_t in x:
        s, v = lif_step(x_t, v, params)
        spikes.append(s)
    return torch.stack(spikes), v


def _per_channel(x: Tensor, y: Tensor) -> Tensor:
    """x [..., C] beside y [T, N, C, ...]."""
    return x.view(*x.shape, *(1,) * (y.dim() - 3))


def affine_lif(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    weight: Tensor | None,
    v: Tensor | None,
    steps: int,
    params,
) -> tuple[Tensor, Tensor]:
    """weight times the spikes of the current gate (scale y + shift), and the last membrane.

    y [T or 1, N, C, ...], scale and shift [C], gate and weight [T, N, C].
    """
    x = y
    if scale is not None:
        x = _per_channel(scale, y) * y + _per_channel(shift, y)
    if gate is not None:
        x = _per_channel(gate, y) * x
    x = x.expand(steps, *x.shape[1:])
    spikes, v = lif(x, torch.zeros_like(x[0]) if v is None else v, params)
    return (spikes if weight is None else _per_channel(weight, y) * spikes), v


def affine_lif_sum(
    y: Tensor, scale: Tensor, shift: Tensor, gate: Tensor | None, weight: Tensor, steps: int, params
) -> Tensor:
    """The weighted spikes of `affine_lif` summed over time, [N, C, ...]."""
    return affine_lif(y, scale, shift, gate, weight, None, steps, params)[0].sum(0)


def affine_lif_rate(y: Tensor, scale: Tensor, shift: Tensor, steps: int, params) -> Tensor:
    """The mean of the spikes over space, [T, N, C]."""
    spikes, _ = affine_lif(y, scale, shift, None, None, None, steps, params)
    return spikes.flatten(3).mean(3) if spikes.dim() > 3 else spikes
