"""The custom ops of the moments and the function that joins them to autograd. Kernels: cpu.py, triton.py."""

from typing import Any

import torch
from torch import Tensor

from ..common.layout import channels_last


@torch.library.custom_op("fsvae_tcja::moments", mutates_args=(), device_types="cpu")
def moments_forward(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y [S, C, ...] -> mean over space [S, C], mean [C] and biased variance [C] of the batch; float32."""
    from . import cpu

    return cpu.forward(y)


@torch.library.custom_op("fsvae_tcja::moments_backward", mutates_args=("grad",), device_types="cpu")
def moments_backward(
    grad: Tensor, d_space: Tensor, d_mean: Tensor, d_variance: Tensor, y: Tensor, mean: Tensor
) -> None:
    """Adds to grad, which lies in memory as `channels_last(y)` does, the gradient of y through its moments."""
    from . import cpu

    cpu.backward(grad, d_space, d_mean, d_variance, y, mean)


@moments_forward.register_kernel("cuda")
def _(y):
    from . import triton

    return triton.forward(y)


@moments_backward.register_kernel("cuda")
def _(grad, d_space, d_mean, d_variance, y, mean):
    from . import triton

    triton.backward(grad, d_space, d_mean, d_variance, y, mean)


@moments_forward.register_fake
def _(y):
    samples, channels = y.shape[:2]
    return tuple(y.new_empty(shape, dtype=torch.float32) for shape in ((samples, channels), channels, channels))


@moments_backward.register_fake
def _(grad, d_space, d_mean, d_variance, y, mean):
    return None


class _Moments(torch.autograd.Function):
    """y passes through, so that the gradient of the moments can be added to the gradient that reaches it, in place."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        space, mean, variance = moments_forward(y)
        ctx.save_for_backward(y, mean)
        return y.view_as(y), space, mean, variance

    @staticmethod
    def backward(ctx: Any, grad: Tensor, d_space: Tensor, d_mean: Tensor, d_variance: Tensor) -> Tensor:
        grad = channels_last(grad)
        moments_backward(grad, d_space, d_mean, d_variance, *ctx.saved_tensors)
        return grad


def moments(y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y [S, C, ...] -> y itself and the moments of `moments_forward`.

    The caller uses the returned y in place of its own, and nowhere but in operations whose gradient of y is a tensor of
    its own, like `lif`: the backward pass writes into it.
    """
    return _Moments.apply(y)
