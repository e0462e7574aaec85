"""Calls of a custom op past PyTorch's dispatcher, whose way to the kernel takes longer than a small layer's work there.

Only where the dispatcher has nothing to decide: a tensor on the CPU or a GPU that is no subclass, outside of
torch.compile and export.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def runs_eagerly(x: Tensor) -> bool:
    return type(x) in (Tensor, nn.Parameter) and x.device.type in ("cpu", "cuda") and not torch.compiler.is_compiling()


def plain(op: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The op without gradient, or the function that it runs; its first argument is a tensor."""

    def call(x: Tensor, *args: Any) -> Any:
        return function(x, *args) if runs_eagerly(x) else op(x, *args)

    return call


def differentiable(
    op: Callable[..., Any], function: Callable[..., Any], setup: Callable[..., None], gradients: Callable[..., Any]
) -> Callable[..., Any]:
    """The same with the gradient that the op has.

    Args:
        op: the custom op.
        function: what it runs.
        setup: its `setup_context`.
        gradients: its backward function.
    """

    class Direct(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            output = function(*args)
            setup(ctx, args, output)
            return output

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *grads: Tensor | None) -> Any:
            return gradients(ctx, *grads)

    def call(x: Tensor, *args: Any) -> Any:
        return Direct.apply(x, *args) if runs_eagerly(x) else op(x, *args)

    return call
