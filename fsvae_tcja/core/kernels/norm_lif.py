"""Normalise, gate and fire: everything between a convolution and the next, in two fused ops.

    moments   y -> mean over space of each sample, mean and variance of the batch      (reads y)
    lif       spikes of the current  gate (scale y + shift)                            (reads y, writes spikes)

The gate of TCJA looks at the mean over space of the normalised current. The norm is affine, so that mean is
scale * space + shift, with `space` the mean of y: the normalised current itself is never written.
"""

from collections.abc import Callable

from torch import Tensor

from .lif import register
from .moments.register import moments


def norm_lif(
    y: Tensor,
    norm,
    params,
    *,
    steps: int | None = None,
    bias: Tensor | None = None,
    gate: Callable[[Tensor], Tensor] | None = None,
    v: Tensor | None = None,
    batch_statistics: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes of LIF neurons behind a tdBN and, if there is one, a gate on the current.

    Args:
        y: output of the convolution [T, N, C, ...]; [1, N, C, ...] with `steps` = T is the same at each step.
        norm: the TDBatchNorm.
        params: the LIFParams.
        steps: T; None takes it from y.
        bias: of the convolution [C], already in y but without its gradient; see `transform`.
        gate: maps the squeezed current [T, N, C] to the gate [T, N, C], as `TCJA.gate` does.
        v: membrane before the first step [N, C, ...], or None for rest.
        batch_statistics: as `TDBatchNorm.forward`.

    Returns:
        spikes [T, N, C, ...] in the type of y, membrane after the last step in float32.
    """
    steps = len(y) if steps is None else steps
    z = None
    if norm.takes_batch(batch_statistics):
        y, z, mean, var = _moments(y)
        norm.track(mean, var, norm.count(y.flatten(0, 1), steps // len(y)))
        scale, shift = norm.affine(mean, var, bias)
    else:
        scale, shift = norm.affine(bias=bias)
    if gate is not None:
        z = _space(y) if z is None else z
        gate = gate((scale * z + shift).expand(steps, *z.shape[1:]))
    return register.lif(y, scale, shift, gate, v, steps, params.constants, params.surrogate.kind)


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
