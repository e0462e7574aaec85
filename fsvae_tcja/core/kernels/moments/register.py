"""The custom ops of the moments; NAME goes past the dispatcher of NAME_op where it can. Kernels: cpu.py, triton.py."""

import torch
from torch import Tensor

from ..common.eager import plain


def _forward(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y [S, C, ...] -> mean over space [S, C], mean [C] and biased variance [C] of the batch; float32."""
    from . import cpu

    return cpu.forward(y)


def _backward(grad: Tensor, d_space: Tensor, d_mean: Tensor, d_variance: Tensor, y: Tensor, mean: Tensor) -> None:
    """Adds to grad, which lies in memory as `channels_last(y)` does, the gradient of y through its moments."""
    from . import cpu

    cpu.backward(grad, d_space, d_mean, d_variance, y, mean)


moments_forward_op = torch.library.custom_op("fsvae_tcja::moments", _forward, mutates_args=(), device_types="cpu")
moments_backward_op = torch.library.custom_op(
    "fsvae_tcja::moments_backward", _backward, mutates_args=("grad",), device_types="cpu"
)
moments_forward = plain(moments_forward_op, _forward)
moments_backward = plain(moments_backward_op, _backward)


@moments_forward_op.register_kernel("cuda")
def _(y):
    from . import triton

    return triton.forward(y)


@moments_backward_op.register_kernel("cuda")
def _(grad, d_space, d_mean, d_variance, y, mean):
    from . import triton

    triton.backward(grad, d_space, d_mean, d_variance, y, mean)


@moments_forward_op.register_fake
def _(y):
    samples, channels = y.shape[:2]
    return tuple(y.new_empty(shape, dtype=torch.float32) for shape in ((samples, channels), channels, channels))


@moments_backward_op.register_fake
def _(grad, d_space, d_mean, d_variance, y, mean):
    return None
