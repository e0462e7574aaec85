"""Normalise, gate and fire: everything between a convolution and the next, in fused ops.

    moments   y -> mean over space of each sample, mean and variance of the batch      (reads y)
    rate      mean over space of the spikes, where TCJA sits on them                   (reads y)
    lif       spikes of the current  gate (scale y + shift), times their weight        (reads y, writes spikes)

The gate of TCJA on the current looks at the mean over space of the normalised current. The norm is affine, so that mean
is scale * space + shift, with `space` the mean of y: the normalised current itself is never written. TCJA on the spikes
looks at their rate; computing them twice costs less than writing them to be weighted.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from .lif import register
from .moments.register import moments

Gate = Callable[[Tensor], Tensor]


class _Current(NamedTuple):
    """gate (scale y + shift)."""

    y: Tensor
    scale: Tensor
    shift: Tensor
    gate: Tensor | None


def norm_lif(
    y: Tensor,
    norm,
    params,
    *,
    steps: int | None = None,
    bias: Tensor | None = None,
    gate: Gate | None = None,
    weight: Gate | None = None,
    v: Tensor | None = None,
    batch_statistics: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes of LIF neurons behind a tdBN, with a gate on the current or a weight on the spikes if there is one.

    Args:
        y: output of the convolution [T, N, C, ...]; [1, N, C, ...] with `steps` = T is the same at each step.
        norm: the TDBatchNorm.
        params: the LIFParams.
        steps: T; None takes it from y.
        bias: of the convolution [C], already in y but without its gradient; see `transform`.
        gate: maps the squeezed current [T, N, C] to the gate on it [T, N, C], as `TCJA.gate` does.
        weight: maps the squeezed spikes [T, N, C] to the gate on them [T, N, C]; without v.
        v: membrane before the first step [N, C, ...], or None for rest.
        batch_statistics: as `TDBatchNorm.forward`.

    Returns:
        spikes [T, N, C, ...] in the type of y, membrane after the last step in float32.
    """
    steps = len(y) if steps is None else steps
    current = _current(y, norm, steps, bias, gate, batch_statistics)
    current, weights = _weights(current, weight, steps, params)
    return register.lif(*current, weights, v, steps, params.constants, params.surrogate.kind)


def norm_lif_sum(
    y: Tensor,
    norm,
    params,
    coefficients: Tensor,
    *,
    bias: Tensor | None = None,
    gate: Gate | None = None,
    weight: Gate | None = None,
    batch_statistics: bool | None = None,
) -> Tensor:
    """The sum over time of coefficients [T] times the spikes of `norm_lif`, [N, C, ...] in float32."""
    steps = len(coefficients)
    current = _current(y, norm, steps, bias, gate, batch_statistics)
    current, weights = _weights(current, weight, steps, params)
    each = coefficients.float()[:, None, None].expand(steps, *y.shape[1:3])
    weights = each if weights is None else each * weights
    return register.lif_sum(*current, weights, steps, params.constants, params.surrogate.kind)


def _current(y: Tensor, norm, steps: int, bias: Tensor | None, gate: Gate | None, batch: bool | None) -> _Current:
    z = None
    if norm.takes_batch(batch):
        y, z, mean, var = _moments(y)
        norm.track(mean, var, norm.count(y.flatten(0, 1), steps // len(y)))
        scale, shift = norm.affine(mean, var, bias)
    else:
        scale, shift = norm.affine(bias=bias)
    if gate is None:
        return _Current(y, scale, shift, None)
    z = _space(y) if z is None else z
    return _Current(y, scale, shift, gate((scale * z + shift).expand(steps, *z.shape[1:])))


def _weights(current: _Current, weight: Gate | None, steps: int, params) -> tuple[_Current, Tensor | None]:
    if weight is None:
        return current, None
    y, scale, shift, _ = current
    y, rate = register.lif_rate(y, scale, shift, steps, params.constants, params.surrogate.kind)
    return current._replace(y=y), weight(rate)


def _space(y: Tensor) -> Tensor:
    return y.flatten(3).mean(3) if y.dim() > 3 else y


def _moments(y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y [T, N, C, ...] -> y, mean over space [T, N, C], mean and variance [C]."""
    if y.dim() > 3:
        through, z, mean, var = moments(y.flatten(0, 1))
        return through.unflatten(0, y.shape[:2]), z.unflatten(0, y.shape[:2]), mean, var
    through, _, mean, var = moments(y.transpose(1, 2))  # without space the batch takes its place: [T, C, N]
    y = through.transpose(1, 2)
    return y, y, mean, var
