"""Operations of convolutions, linear layers and attention, counted at the borders too: padding costs nothing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tcja import TCJA

Weights = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def fan_out(weights: Weights, shape: Sequence[int]) -> Tensor:
    """How many weights each input value meets, int64 in the shape of one input, [C, H, W] or [features]."""
    if isinstance(weights, nn.Linear):
        return torch.full(tuple(shape), weights.out_features)
    assert weights.groups == 1 and weights.dilation == (1, 1) and isinstance(weights.padding, tuple)
    axes = zip(shape[1:], weights.kernel_size, weights.stride, weights.padding, weights.output_padding, strict=True)
    if isinstance(weights, nn.ConvTranspose2d):
        rows, columns = (_reached(*axis) for axis in axes)
    else:
        rows, columns = (_windows(length, kernel, stride, (pad, pad)) for length, kernel, stride, pad, _ in axes)
    return (weights.out_channels * torch.outer(rows, columns)).expand(*shape)


def _reached(length: int, kernel: int, stride: int, padding: int, beyond: int) -> Tensor:
    """How many outputs of a transposed convolution each of `length` values reaches: [length]."""
    outputs = (length - 1) * stride - 2 * padding + kernel + beyond
    targets = torch.arange(length)[:, None] * stride - padding + torch.arange(kernel)
    return ((targets >= 0) & (targets < outputs)).sum(1)


def _windows(length: int, kernel: int, stride: int, padding: tuple[int, int]) -> Tensor:
    """In how many windows of a convolution each of `length` values lies: [length]."""
    members = F.pad(torch.arange(length), padding, value=length).unfold(0, kernel, stride)  # `length`: padding
    return torch.bincount(members.flatten(), minlength=length + 1)[:length]


def attention_operations(attention: TCJA, neurons: int) -> tuple[int, int]:
    """MACs and ACs of TCJA over its T steps, for a layer of so many neurons (C H W)."""
    T, C = attention.steps, attention.channels
    macs = T * neurons + T * C  # gate, sigmoid
    acs = T * neurons  # squeeze
    for conv, length in ((attention.tla, T), (attention.cla, C)):
        if conv is not None:
            kernel = conv.kernel_size[0]
            taps = int(_windows(length, kernel, 1, ((kernel - 1) // 2, kernel // 2)).sum())
            macs += conv.in_channels * conv.out_channels * taps
    if attention.fusion == "joint":
        macs += T * C
    if attention.fusion == "add":
        acs += T * C
    return macs, acs
