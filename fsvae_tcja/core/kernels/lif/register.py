"""The custom ops of the fused LIF: schema, shapes, autograd. Kernels: cpu.py, triton.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import layout


def _kernels(y: Tensor):
    """The kernels of the device on which y lies."""
    if y.device.type == "cuda":
        from . import triton

        return triton
    from . import cpu

    return cpu


@torch.library.custom_op("fsvae_tcja::lif", mutates_args=())
def lif(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    weight: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> tuple[Tensor, Tensor]:
    """LIF over T steps of the current gate (scale y + shift).

    Args:
        y: [T, ...]; [T, N, C, ...] if scale is given. [1, ...] with steps > 1 is the same at each step.
        scale, shift: [C], both or neither.
        gate: [T, N, C], only with scale.
        weight: factor on the spikes [T, N, C], only with scale.
        v: membrane before the first step [...], or None for rest.
        steps: T.
        constants: `neuron.Constants`.
        surrogate: a key of `SURROGATES`.

    Returns:
        weighted spikes [T, ...] in the type of y, membrane after the last step [...] in float32.
    """
    return _kernels(y).forward(y, scale, shift, gate, weight, v, steps, constants)


@torch.library.custom_op("fsvae_tcja::lif_sum", mutates_args=())
def lif_sum(
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    gate: Tensor | None,
    weight: Tensor,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> Tensor:
    """The weighted spikes of `lif` from rest, summed over time [N, C, ...], float32; no spike is written."""
    return _kernels(y).total(y, scale, shift, gate, weight, steps, constants)


@torch.library.custom_op("fsvae_tcja::lif_rate", mutates_args=())
def lif_rate_forward(
    y: Tensor, scale: Tensor, shift: Tensor, steps: int, constants: Sequence[float], surrogate: str
) -> Tensor:
    """The mean over space of the spikes of `lif` from rest [T, N, C], float32; no spike is written."""
    return _kernels(y).rate(y, scale, shift, steps, constants)


@torch.library.custom_op("fsvae_tcja::lif_backward", mutates_args=())
def lif_backward(
    grad: Tensor,
    grad_last: Tensor | None,
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    weight: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of y, scale, shift, gate, weight, v; those of absent inputs are empty."""
    inputs = y, scale, shift, gate, weight, v
    return _kernels(y).backward(grad, grad_last, *inputs, steps, constants, surrogate)


@torch.library.custom_op("fsvae_tcja::lif_rate_backward", mutates_args=("dy",))
def lif_rate_backward(
    dy: Tensor,
    d_rate: Tensor,
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> tuple[Tensor, Tensor]:
    """Adds the gradient of y through its rate to dy, which lies in memory as `layout.new` does; of scale and shift."""
    weight = d_rate * (scale.numel() * len(y) / y.numel() * y.shape[1])  # dL/ds, the same everywhere in space
    inputs = y, scale, shift, None, weight, None
    return _kernels(y).backward(None, None, *inputs, steps, constants, surrogate, dy)[1:3]


@lif.register_fake
def _(y, scale, shift, gate, weight, v, steps, constants, surrogate):
    permutation = layout.order(y, scale is not None)
    spikes = layout.new(y, permutation, steps)
    return spikes, layout.new(y, permutation, 1, dtype=torch.float32)[0]


@lif_sum.register_fake
def _(y, scale, shift, gate, weight, steps, constants, surrogate):
    return layout.new(y, layout.order(y, True), 1, dtype=torch.float32)[0]


@lif_rate_forward.register_fake
def _(y, scale, shift, steps, constants, surrogate):
    return y.new_empty(steps, *y.shape[1:3], dtype=torch.float32)


@lif_backward.register_fake
def _(grad, grad_last, y, scale, shift, gate, weight, v, steps, constants, surrogate):
    permutation = layout.order(y, scale is not None)
    dy = layout.new(y, permutation, y.shape[0])
    dv = y.new_empty(0) if v is None else layout.new(y, permutation, 1, dtype=torch.float32)[0]
    tables = [y.new_empty((0,) if x is None else x.shape, dtype=torch.float32) for x in (scale, shift)]
    factors = [y.new_empty((0, 0, 0) if x is None else x.shape, dtype=torch.float32) for x in (gate, weight)]
    return dy, *tables, *factors, dv


@lif_rate_backward.register_fake
def _(dy, d_rate, y, scale, shift, steps, constants, surrogate):
    return tuple(y.new_empty(scale.shape, dtype=torch.float32) for _ in range(2))


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.steps, ctx.constants, ctx.surrogate = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx, grad, grad_last):
    tensors = ctx.saved_tensors
    if grad is None:
        grad = tensors[0].new_zeros(()).expand(ctx.steps, *tensors[0].shape[1:])
    grads = lif_backward(grad, grad_last, *tensors, ctx.steps, ctx.constants, ctx.surrogate)
    return *_present(tensors, grads), None, None, None


def _sum_backward(ctx, grad):
    y, scale, shift, gate, weight = ctx.saved_tensors
    grad = grad.expand(ctx.steps, *grad.shape)
    inputs = y, scale, shift, gate, weight, None
    *grads, _ = lif_backward(grad, None, *inputs, ctx.steps, ctx.constants, ctx.surrogate)
    return *_present(inputs[:-1], grads), None, None, None


def _present(inputs, grads) -> list[Tensor | None]:
    return [None if x is None else g for x, g in zip(inputs, grads, strict=True)]


def _rate_backward(ctx, d_rate):
    y, scale, shift = ctx.saved_tensors
    dy = layout.new(y, layout.order(y, True), len(y)).zero_()
    grads = lif_rate_backward(dy, d_rate, y, scale, shift, ctx.steps, ctx.constants, ctx.surrogate)
    return dy, *grads, None, None, None


lif.register_autograd(_backward, setup_context=_setup)
lif_rate_forward.register_autograd(_rate_backward, setup_context=_setup)
lif_sum.register_autograd(_sum_backward, setup_context=_setup)


class _Rate(torch.autograd.Function):
    """y passes through, so that the gradient of the rate can be added to the gradient that reaches it, in place."""

    @staticmethod
    def forward(ctx, y, scale, shift, steps, constants, surrogate):
        ctx.save_for_backward(y, scale, shift)
        ctx.settings = steps, constants, surrogate
        return y.view_as(y), lif_rate_forward(y, scale, shift, *ctx.settings)

    @staticmethod
    def backward(ctx, dy, d_rate):
        dy = layout.contiguous(dy, layout.order(dy, True))
        grads = lif_rate_backward(dy, d_rate, *ctx.saved_tensors, *ctx.settings)
        return dy, *grads, None, None, None


def lif_rate(
    y: Tensor, scale: Tensor, shift: Tensor, steps: int, constants: Sequence[float], surrogate: str
) -> tuple[Tensor, Tensor]:
    """y itself and the rate of `lif_rate_forward`.

    The caller uses the returned y in place of its own, and nowhere but in operations whose gradient of y is a tensor of
    its own, like `lif`: the backward pass writes into it. torch.compile cannot follow that; there the rate has a
    gradient of y by itself.
    """
    if torch.compiler.is_compiling():
        return y, lif_rate_forward(y, scale, shift, steps, constants, surrogate)
    return _Rate.apply(y, scale, shift, steps, constants, surrogate)
