"""The convolutions that halve and double an image, 3x3 with stride 2, on a CPU in training as one matrix product.

The layers are PyTorch's, with its weights. Where pixels are few and channels many, its convolutions take up to 1.7
times as long, forward and backward, as one matrix product of all nine weights (tests/benchmarks/bench_resampling.py):

    halved:   y[p] = sum_k W_k x[2 p + k]                      k in {-1, 0, 1}^2, zero outside of x
    doubled:  y[q] = sum over k and p with 2 p + k = q of W_k^T x[p]

Values are those of PyTorch up to rounding. Everything else, and what is evaluated or exported, is left to PyTorch.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .kernels.common.eager import runs_eagerly

WIDE = 128 * 128  # C D, at least
FEW = 4 * 4  # pixels H W of the input, at most


class Halving(nn.Conv2d):
    """[N, C, H, W] -> [N, D, (H + 1) // 2, (W + 1) // 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return _added(_Halved.apply(x, self.weight), self.bias) if _as_product(self, x) else super().forward(x)


class Doubling(nn.ConvTranspose2d):
    """[N, C, H, W] -> [N, D, 2 H, 2 W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is None and _as_product(self, x):
            return _added(_Doubled.apply(x, self.weight), self.bias)
        return super().forward(x, output_size)


def _as_product(layer: Halving | Doubling, x: Tensor) -> bool:
    trained = layer.training and x.is_cpu and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    if not (trained and runs_eagerly(x)):
        return False
    fits = x.dim() == 4 and x.shape[1] == layer.in_channels
    return fits and layer.in_channels * layer.out_channels >= WIDE and x.shape[2:].numel() <= FEW


def _added(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.view(-1, 1, 1)


class _Halved(torch.autograd.Function):
    """x [N, C, H, W], W [D, C, 3, 3] -> [N, D, h, w]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        columns = _shifted(x)  # [N, h, w, 9 C]
        ctx.save_for_backward(columns if ctx.needs_input_grad[1] else None, weight)
        ctx.pixels = x.shape[2:]
        return _times(columns, _by_channels(weight).T).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        columns, weight = ctx.saved_tensors
        grad = grad.permute(0, 2, 3, 1).contiguous()  # [N, h, w, D]
        to_x = _gathered(_times(grad, _by_channels(weight)), ctx.pixels) if ctx.needs_input_grad[0] else None
        to_weight = _product(grad, columns, weight) if ctx.needs_input_grad[1] else None
        return to_x, to_weight


class _Doubled(torch.autograd.Function):
    """x [N, C, h, w], W [C, D, 3, 3] -> [N, D, 2 h, 2 w]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        h, w = x.shape[2:]
        return _gathered(_times(x.permute(0, 2, 3, 1), _by_channels(weight)), (2 * h, 2 * w))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        columns = _shifted(grad)  # [N, h, w, 9 D]
        to_x = _times(columns, _by_channels(weight).T).permute(0, 3, 1, 2) if ctx.needs_input_grad[0] else None
        to_weight = _product(x.permute(0, 2, 3, 1), columns, weight) if ctx.needs_input_grad[1] else None
        return to_x, to_weight


def _by_channels(weight: Tensor) -> Tensor:
    """[A, B, 3, 3] -> [A, 9 B]; a view of weights that are channels-last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _times(rows: Tensor, matrix: Tensor) -> Tensor:
    """[N, h, w, A] times [A, B] -> [N, h, w, B]."""
    return (rows.flatten(0, 2) @ matrix).unflatten(0, rows.shape[:3])


def _product(rows: Tensor, columns: Tensor, weight: Tensor) -> Tensor:
    """rows [N, h, w, A], columns [N, h, w, 9 B] -> the gradient of the weight [A, B, 3, 3]."""
    product = rows.flatten(0, 2).T @ columns.flatten(0, 2)
    return product.unflatten(1, (3, 3, weight.shape[1])).permute(0, 3, 1, 2)


def _shifted(x: Tensor) -> Tensor:
    """x [N, C, H, W] -> the pixels under each of nine weights, [N, h, w, 9 C]."""
    (h, w), (height, width) = _halves(x.shape[2:]), x.shape[2:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 2 * w - width, 1, 2 * h - height))  # [N, 2 h + 1, 2 w + 1, C]
    return torch.cat([_under(x, k) for k in range(9)], dim=3)


def _gathered(columns: Tensor, pixels: Sequence[int]) -> Tensor:
    """The adjoint of `_shifted`: [N, h, w, 9 C] -> [N, C, H, W]."""
    columns = columns.unflatten(3, (9, -1))
    (h, w), (height, width) = _halves(pixels), pixels
    x = columns.new_zeros(len(columns), 2 * h + 1, 2 * w + 1, columns.shape[4])
    for k in range(9):
        _under(x, k).add_(columns[:, :, :, k])
    return x[:, 1 : height + 1, 1 : width + 1].contiguous().permute(0, 3, 1, 2)


def _under(x: Tensor, k: int) -> Tensor:
    """The pixels of x [N, 2 h + 1, 2 w + 1, C] under weight k, [N, h, w, C]."""
    row, column = divmod(k, 3)
    return x[:, row : row + x.shape[1] - 2 : 2, column : column + x.shape[2] - 2 : 2]


def _halves(pixels: Sequence[int]) -> tuple[int, int]:
    return (pixels[0] + 1) // 2, (pixels[1] + 1) // 2
