"""The spiking layer, fused: everything between a convolution and the next, in operations that write only spikes.

    moments     y -> mean over space of each sample, mean and variance of the batch       (reads y)
    spike_rate  mean over space of the spikes, where TCJA sits on them                    (reads y)
    fire        spikes of the current  current_gate (scale y + shift), times spike_gate   (reads y, writes spikes)

The gate of TCJA on the current looks at the mean over space of the normalised current. The norm is affine, so that mean
is scale * space + shift, with `space` the mean of y: the normalised current itself is never written. TCJA on the spikes
looks at their rate; computing them twice costs less than writing them to be gated.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from .axes import mean_over_space
from .kernels.lif.register import fire, spike_rate, spike_sum
from .norm import TDBatchNorm
from .params import FusedConstants
from .statistics import Normed, by_own_statistics
from .tcja import TCJA

Step = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""Input and membrane, None for rest -> spikes and membrane."""


class Plan(NamedTuple):
    """What is behind the convolution of a layer, and over how many steps."""

    norm: TDBatchNorm
    neuron: FusedConstants
    steps: int
    """T."""
    on_current: TCJA | None = None
    """Gates the current."""
    on_spikes: TCJA | None = None
    """Gates the spikes."""


class Driven(NamedTuple):
    """The current current_gate (scale y + shift), not computed: y [T or 1, N, C, ...], tables [C], gate [T, N, C]."""

    y: Tensor
    scale: Tensor
    shift: Tensor
    current_gate: Tensor | None


def fire_sequence(y: Tensor, plan: Plan) -> Tensor:
    """Output of the convolution y [T, N, C, ...], or [1, N, C, ...] for all T steps -> spikes [T, N, C, ...]."""
    current, spike_gate = _gated(_current(y, plan), plan)
    return fire(*current, spike_gate, None, plan.steps, *plan.neuron)[0]


def fire_summed(y: Tensor, plan: Plan, coefficients: Tensor) -> Tensor:
    """The sum over time of coefficients [T] times the spikes of `fire_sequence`, [N, C, ...] in float32."""
    current, spike_gate = _gated(_current(y, plan), plan)
    factor = coefficients.float()[:, None, None].expand(plan.steps, *y.shape[1:3])
    factor = factor if spike_gate is None else factor * spike_gate
    return spike_sum(*current, factor, plan.steps, *plan.neuron)


def stepper(norm: TDBatchNorm, neuron: FusedConstants) -> Step:
    """Steps by the running statistics as they are now: y [N, C, ...], membrane or None -> spikes, float32 membrane."""
    tables = norm.affine(norm.running_mean, norm.running_var)

    def step(y: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        spikes, v = fire(y.unsqueeze(0), *tables, None, None, v, 1, *neuron)
        return spikes[0], v

    return step


def _current(y: Tensor, plan: Plan) -> Driven:
    norm, space = plan.norm, None
    if norm.training:
        count = norm.count(y.flatten(0, 1), plan.steps // len(y))
        y, space, mean, var, scale, shift = _normed(y, norm)
        norm.track(mean, var, count)
    else:
        scale, shift = norm.affine(norm.running_mean, norm.running_var)
    if plan.on_current is None:
        return Driven(y, scale, shift, None)
    space = mean_over_space(y) if space is None else space
    squeezed = (scale * space + shift).expand(plan.steps, *space.shape[1:])
    return Driven(y, scale, shift, plan.on_current.gate(squeezed))


def _gated(current: Driven, plan: Plan) -> tuple[Driven, Tensor | None]:
    """The current, whose y is used in place of the one before, and the gate on the spikes [T, N, C]."""
    if plan.on_spikes is None:
        return current, None
    y, rate = spike_rate(current.y, current.scale, current.shift, plan.steps, *plan.neuron)
    return current._replace(y=y), plan.on_spikes.gate(rate)


def _normed(y: Tensor, norm: TDBatchNorm) -> Normed:
    """y [T, N, C, ...] by its own statistics; y and its mean over space [T, N, C] have their time again."""
    if y.dim() > 3:
        normed = by_own_statistics(y.flatten(0, 1), norm)
        return normed._replace(y=normed.y.unflatten(0, y.shape[:2]), space=normed.space.unflatten(0, y.shape[:2]))
    normed = by_own_statistics(y.transpose(1, 2), norm)  # without space the batch takes its place: [T, C, N]
    y = normed.y.transpose(1, 2)
    return normed._replace(y=y, space=y)
