"""The custom op of the fused LIF: schema, shapes, autograd. Kernels: cpu.py, triton.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import layout


@torch.library.custom_op("fsvae_tcja::lif", mutates_args=(), device_types="cpu")
def lif(
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
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
        v: membrane before the first step [...], or None for rest.
        steps: T.
        constants: `neuron.Constants`.
        surrogate: a key of `SURROGATES`.

    Returns:
        spikes [T, ...] in the type of y, membrane after the last step [...] in float32.
    """
    from . import cpu

    return cpu.forward(y, scale, shift, gate, v, steps, constants, surrogate)


@torch.library.custom_op("fsvae_tcja::lif_backward", mutates_args=(), device_types="cpu")
def lif_backward(
    grad: Tensor,
    grad_last: Tensor,
    y: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    gate: Tensor | None,
    v: Tensor | None,
    steps: int,
    constants: Sequence[float],
    surrogate: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of y, scale, shift, gate, v; those of an absent scale, shift, gate are empty."""
    from . import cpu

    return cpu.backward(grad, grad_last, y, scale, shift, gate, v, steps, constants, surrogate)


@lif.register_kernel("cuda")
def _(y, scale, shift, gate, v, steps, constants, surrogate):
    from . import triton

    return triton.forward(y, scale, shift, gate, v, steps, constants, surrogate)


@lif_backward.register_kernel("cuda")
def _(grad, grad_last, y, scale, shift, gate, v, steps, constants, surrogate):
    from . import triton

    return triton.backward(grad, grad_last, y, scale, shift, gate, v, steps, constants, surrogate)


@lif.register_fake
def _(y, scale, shift, gate, v, steps, constants, surrogate):
    permutation = layout.order(y, scale is not None)
    spikes = layout.new(y, permutation, steps)
    return spikes, layout.new(y, permutation, 1, dtype=torch.float32)[0]


@lif_backward.register_fake
def _(grad, grad_last, y, scale, shift, gate, v, steps, constants, surrogate):
    permutation = layout.order(y, scale is not None)
    dy = layout.new(y, permutation, y.shape[0])
    dv = layout.new(y, permutation, 1, dtype=torch.float32)[0]
    channels = y.new_empty(0 if scale is None else scale.shape[0], dtype=torch.float32)
    dgate = y.new_empty((0,) if gate is None else gate.shape, dtype=torch.float32)
    return dy, channels, torch.empty_like(channels), dgate, dv


def _setup(ctx, inputs, output) -> None:
    y, scale, shift, gate, v, ctx.steps, ctx.constants, ctx.surrogate = inputs
    ctx.save_for_backward(y, scale, shift, gate, v)


def _backward(ctx, grad, grad_last):
    y, scale, shift, gate, v = ctx.saved_tensors
    grads = lif_backward(grad, grad_last, y, scale, shift, gate, v, ctx.steps, ctx.constants, ctx.surrogate)
    present = [None if x is None else g for x, g in zip((y, scale, shift, gate, v), grads, strict=True)]
    return *present, None, None, None


lif.register_autograd(_backward, setup_context=_setup)
