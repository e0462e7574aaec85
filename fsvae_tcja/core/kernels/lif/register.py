"""The custom ops of the fused LIF: schema, shapes, autograd. Kernels: cpu.py, triton.py.

Arguments, in the order in which every op takes them: the fields of `inputs.Inputs` that it knows, steps (T), and the
two fields of `params.FusedConstants`. NAME_op is the op; NAME itself goes past the dispatcher where it can (eager.py).
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..common import layout
from ..common.eager import differentiable, plain
from .inputs import Inputs


def _kernels(y: Tensor) -> ModuleType:
    """The kernels of the device on which y lies."""
    if y.device.type == "cuda":
        from . import triton

        return triton
    from . import cpu

    return cpu


def _fire(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    current_gate: Tensor | None,
    spike_gate: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> tuple[Tensor, Tensor]:
    """Gated spikes [T, ...] in the type of y, and the membrane after the last step [...] in float32."""
    inputs = Inputs(y, scale, shift, current_gate, spike_gate, v)
    return _kernels(y).fire(inputs, steps, constants)


def _spike_sum(
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    current_gate: Tensor | None,
    spike_gate: Tensor,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> Tensor:
    """The gated spikes of `fire` from rest, summed over time [N, C, ...], float32; no spike is written."""
    return _kernels(y).spike_sum(Inputs(y, scale, shift, current_gate, spike_gate), steps, constants)


def _spike_rate_forward(
    y: Tensor, scale: Tensor, shift: Tensor, steps: int, constants: Sequence[float], surrogate: str
) -> Tensor:
    """The mean over space of the spikes of `fire` from rest [T, N, C], float32; no spike is written."""
    return _kernels(y).spike_rate(Inputs(y, scale, shift), steps, constants)


def _fire_gradients(
    grad: Tensor,
    grad_last: Tensor | None,
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    current_gate: Tensor | None,
    spike_gate: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The fields of `inputs.Gradients`, for the gradients of both results of `fire`."""
    inputs = Inputs(y, scale, shift, current_gate, spike_gate, v)
    return tuple(_kernels(y).backward(grad, grad_last, inputs, steps, constants, surrogate))


def _spike_rate_gradients(
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
    ds = d_rate * (scale.numel() * len(y) / y.numel() * y.shape[1])  # dL/ds, the same everywhere in space
    inputs = Inputs(y, scale, shift, spike_gate=ds)
    gradients = _kernels(y).backward(None, None, inputs, steps, constants, surrogate, dy)
    return gradients.scale, gradients.shift


fire_op = torch.library.custom_op("fsvae_tcja::lif", _fire, mutates_args=())
spike_sum_op = torch.library.custom_op("fsvae_tcja::lif_sum", _spike_sum, mutates_args=())
spike_rate_op = torch.library.custom_op("fsvae_tcja::lif_rate", _spike_rate_forward, mutates_args=())
fire_backward_op = torch.library.custom_op("fsvae_tcja::lif_backward", _fire_gradients, mutates_args=())
spike_rate_backward_op = torch.library.custom_op(
    "fsvae_tcja::lif_rate_backward", _spike_rate_gradients, mutates_args=("dy",)
)
fire_backward = plain(fire_backward_op, _fire_gradients)
spike_rate_forward = plain(spike_rate_op, _spike_rate_forward)
spike_rate_backward = plain(spike_rate_backward_op, _spike_rate_gradients)


@fire_op.register_fake
def _(y, scale, shift, current_gate, spike_gate, v, steps, constants, surrogate):
    permutation = layout.order(y, scale is not None)
    spikes = layout.new(y, permutation, steps)
    return spikes, layout.new(y, permutation, 1, dtype=torch.float32)[0]


@spike_sum_op.register_fake
def _(y, scale, shift, current_gate, spike_gate, steps, constants, surrogate):
    return layout.new(y, layout.order(y, True), 1, dtype=torch.float32)[0]


@spike_rate_op.register_fake
def _(y, scale, shift, steps, constants, surrogate):
    return y.new_empty(steps, *y.shape[1:3], dtype=torch.float32)


@fire_backward_op.register_fake
def _(grad, grad_last, y, scale, shift, current_gate, spike_gate, v, steps, constants, surrogate):
    permutation = layout.order(y, scale is not None)
    dy = layout.new(y, permutation, y.shape[0])
    dv = y.new_empty(0) if v is None else layout.new(y, permutation, 1, dtype=torch.float32)[0]
    tables = [y.new_empty((0,) if x is None else x.shape, dtype=torch.float32) for x in (scale, shift)]
    gates = [y.new_empty((0, 0, 0) if x is None else x.shape, dtype=torch.float32) for x in (current_gate, spike_gate)]
    return dy, *tables, *gates, dv


@spike_rate_backward_op.register_fake
def _(dy, d_rate, y, scale, shift, steps, constants, surrogate):
    return tuple(y.new_empty(scale.shape, dtype=torch.float32) for _ in range(2))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.steps, ctx.constants, ctx.surrogate = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _fire_backward(ctx: Any, grad: Tensor | None, grad_last: Tensor | None) -> tuple[Any, ...]:
    tensors = ctx.saved_tensors
    if grad is None:
        grad = tensors[0].new_zeros(()).expand(ctx.steps, *tensors[0].shape[1:])
    grads = fire_backward(grad, grad_last, *tensors, ctx.steps, ctx.constants, ctx.surrogate)
    return *_present(tensors, grads), None, None, None


def _spike_sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    tensors = ctx.saved_tensors
    grad = grad.expand(ctx.steps, *grad.shape)
    *grads, _ = fire_backward(grad, None, *tensors, None, ctx.steps, ctx.constants, ctx.surrogate)
    return *_present(tensors, grads), None, None, None


def _spike_rate_backward(ctx: Any, d_rate: Tensor) -> tuple[Any, ...]:
    y, scale, shift = ctx.saved_tensors
    dy = layout.new(y, layout.order(y, True), len(y)).zero_()
    grads = spike_rate_backward(dy, d_rate, y, scale, shift, ctx.steps, ctx.constants, ctx.surrogate)
    return dy, *grads, None, None, None


def _present(inputs: Sequence[Tensor | None], grads: Sequence[Tensor]) -> list[Tensor | None]:
    return [None if x is None else g for x, g in zip(inputs, grads, strict=True)]


fire_op.register_autograd(_fire_backward, setup_context=_setup)
spike_sum_op.register_autograd(_spike_sum_backward, setup_context=_setup)
spike_rate_op.register_autograd(_spike_rate_backward, setup_context=_setup)
fire = differentiable(fire_op, _fire, _setup, _fire_backward)
spike_sum = differentiable(spike_sum_op, _spike_sum, _setup, _spike_sum_backward)


class _SpikeRate(torch.autograd.Function):
    """y passes through, so that the gradient of the rate can be added to the gradient that reaches it, in place."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, scale: Tensor, shift: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(y, scale, shift)
        ctx.settings = settings
        return y.view_as(y), spike_rate_forward(y, scale, shift, *settings)

    @staticmethod
    def backward(ctx: Any, dy: Tensor, d_rate: Tensor) -> tuple[Any, ...]:
        dy = layout.contiguous(dy, layout.order(dy, True))
        grads = spike_rate_backward(dy, d_rate, *ctx.saved_tensors, *ctx.settings)
        return dy, *grads, None, None, None


def spike_rate(
    y: Tensor, scale: Tensor, shift: Tensor, steps: int, constants: Sequence[float], surrogate: str
) -> tuple[Tensor, Tensor]:
    """y itself and the rate of `spike_rate_forward`.

    The caller uses the returned y in place of its own, and nowhere but in operations whose gradient of y is a tensor of
    its own, like `fire`: the backward pass writes into it. torch.compile cannot follow that; there the rate has a
    gradient of y by itself.
    """
    if torch.compiler.is_compiling():
        return y, spike_rate_op(y, scale, shift, steps, constants, surrogate)
    return _SpikeRate.apply(y, scale, shift, steps, constants, surrogate)
