"""The custom ops of the moments; NAME goes past the dispatcher of NAME_op where it can. Kernels: cpu.py, triton.py."""

from types import ModuleType

import torch
from torch import Tensor

from ..common.eager import plain


def _kernels(y: Tensor) -> ModuleType:
    """The kernels of the device on which y lies."""
    if y.device.type == "cuda":
        from . import triton

        return triton
    from . import cpu

    return cpu


def _forward(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y [S, C, ...] -> mean over space [S, C], mean [C] and biased variance [C] of the batch; float32."""
    return _kernels(y).forward(y)


def _backward(
    grad: Tensor, d_space: Tensor | None, d_mean: Tensor, d_variance: Tensor, y: Tensor, mean: Tensor
) -> None:
    """Adds to grad, which lies in memory as `channels_last(y)` does, the gradient of y through its moments.

    d_space None: nothing depends on the means over space.
    """
    _kernels(y).backward(grad, d_space, d_mean, d_variance, y, mean)


moments_forward_op = torch.library.custom_op("fsvae_tcja::moments", _forward, mutates_args=())
moments_backward_op = torch.library.custom_op("fsvae_tcja::moments_backward", _backward, mutates_args=("grad",))
moments_forward = plain(moments_forward_op, _forward)
moments_backward = plain(moments_backward_op, _backward)


@moments_forward_op.register_fake
def _(y):
    samples, channels = y.shape[:2]
    return tuple(y.new_empty(shape, dtype=torch.float32) for shape in ((samples, channels), channels, channels))


@moments_backward_op.register_fake
def _(grad, d_space, d_mean, d_variance, y, mean):
    return None
