"""The specification of the LIF neuron, written to be read. Every fused kernel agrees with this file."""

import torch
from torch import Tensor

from ...axes import mean_over_space, over_space
from ...params import LIFParams
from ...surrogate import spike
from .inputs import Inputs


def step(x: Tensor, v: Tensor, params: LIFParams) -> tuple[Tensor, Tensor]:
    """One step: current x and membrane v of one shape -> spikes s_t and post-reset membrane v_t, u in the type of v."""
    u = params.decay * v + params.gain * x.to(v.dtype)  # u_t = decay v_{t-1} + gain x_t
    s = spike(u, params.v_th, params.surrogate, params.strict)  # s_t = [u_t > v_th]
    return s.to(x.dtype), reset(u, s, params)


def reset(u: Tensor, s: Tensor, params: LIFParams) -> Tensor:
    """Post-reset membrane v_t of the membrane u_t and the spikes s_t that it fired."""
    r = s.detach() if params.detach_reset else s
    return u * (1 - r) if params.hard_reset else u - params.v_th * r


def sequence(x: Tensor, v: Tensor, params: LIFParams) -> tuple[Tensor, Tensor]:
    """x [T, ...], v [...] -> spikes [T, ...], v_T [...]."""
    spikes = []
    for x_t in x:
        s, v = step(x_t, v, params)
        spikes.append(s)
    return torch.stack(spikes), v


def fire(inputs: Inputs, steps: int, params: LIFParams) -> tuple[Tensor, Tensor]:
    """spike_gate times the spikes of the current current_gate (scale y + shift), and the last membrane."""
    y, scale, shift, current_gate, spike_gate, v = inputs
    x = y
    if scale is not None and shift is not None:
        x = over_space(scale, y) * y + over_space(shift, y)
    if current_gate is not None:
        x = over_space(current_gate, y) * x
    x = x.expand(steps, *x.shape[1:])
    spikes, v = sequence(x, torch.zeros_like(x[0]) if v is None else v, params)
    return (spikes if spike_gate is None else over_space(spike_gate, y) * spikes), v


def spike_sum(inputs: Inputs, steps: int, params: LIFParams) -> Tensor:
    """The gated spikes of `fire` summed over time, [N, C, ...]."""
    return fire(inputs, steps, params)[0].sum(0)


def spike_rate(inputs: Inputs, steps: int, params: LIFParams) -> Tensor:
    """The mean over space of the spikes of `fire`, [T, N, C]."""
    return mean_over_space(fire(inputs, steps, params)[0])
