"""From the spikes of the last decoder block to the image: a last convolution without norm and neuron, and a sum."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import TCJA, SpikingLayer
from ..utils.configuration import Part

MEMBRANE_DECAY = 0.8  # FSVAE 2022 (arXiv 2110.00375): the output layer's membrane keeps 0.8 of itself in a step
KERNEL_C, KERNEL_T = 1, 4  # K_T = 4 as in the TCJA authors' program; K_C = 1: 1 to 3 channels only


class Readout(Part):
    """A read-out: a frozen dataclass, chosen by its name in READOUTS."""

    def build(self, T: int, channels: int, in_channels: int) -> nn.Module:
        """A module with `forward(last_block, x)` and a convolution from `channels` to the image's `in_channels`."""
        raise NotImplementedError


def convolution(channels: int, in_channels: int) -> nn.ConvTranspose2d:
    """The last convolution: 3x3, size kept."""
    return nn.ConvTranspose2d(channels, in_channels, 3, 1, 1)


class SumThenConvolve(nn.Module):
    """image = tanh(sum_t a_t y_t), y = conv(spikes).

    The sum is linear and so is the convolution: it is taken before the convolution, for a T-th of the work. In float32
    whatever the spikes are stored in: it is a membrane.

    Args:
        coefficients: a [T].
        conv: the last convolution.
    """

    coefficients: Tensor

    def __init__(self, coefficients: Tensor, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("coefficients", coefficients.to(conv.weight.device), persistent=False)

    def forward(self, last_block: SpikingLayer, x: Tensor) -> Tensor:
        """The last block and its input x [T, N, C, H/2, W/2] -> images [N, C_in, H, W] in [-1, 1]."""
        x = last_block.summed(x, self.coefficients)
        assert self.conv.bias is not None
        with torch.autocast(x.device.type, enabled=False):
            y = F.conv_transpose2d(x, self.conv.weight, padding=1)
            return torch.tanh(y + self.conv.bias[:, None, None] * self.coefficients.sum())


class GateThenSum(nn.Module):
    """image = tanh(sum_t F_t y_t), y = conv(spikes), with the TCJA gate F of the sequence y; in float32.

    Args:
        conv: the last convolution.
        attention: TCJA on the channels of the image.
    """

    def __init__(self, conv: nn.ConvTranspose2d, attention: TCJA) -> None:
        super().__init__()
        self.conv = conv
        self.attention = attention

    def forward(self, last_block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The last block and its input x [T, N, C, H/2, W/2] -> images [N, C_in, H, W] in [-1, 1]."""
        x = last_block(x)
        with torch.autocast(x.device.type, enabled=False):
            y = self.conv(x.flatten(0, 1).to(self.conv.weight.dtype)).unflatten(0, x.shape[:2])
            return torch.tanh(self.attention(y).sum(0))


@dataclass(frozen=True)
class MembraneReadout(Readout):
    """Leaky sum of the published FSVAE: a_t = 0.8^(T-t), t = 1..T; the membrane of a neuron that never fires."""

    def build(self, T: int, channels: int, in_channels: int) -> SumThenConvolve:
        steps = torch.arange(T - 1, -1, -1, device="cpu")  # on the meta device arithmetic costs seconds of imports
        return SumThenConvolve(MEMBRANE_DECAY**steps, convolution(channels, in_channels))


@dataclass(frozen=True)
class MeanReadout(Readout):
    """Mean over time: a_t = 1/T."""

    def build(self, T: int, channels: int, in_channels: int) -> SumThenConvolve:
        return SumThenConvolve(torch.full((T,), 1 / T), convolution(channels, in_channels))


@dataclass(frozen=True)
class TCJAReadout(Readout):
    """TCJA gate on the output sequence, then the sum: the read-out of a program of TCJA's authors."""

    def build(self, T: int, channels: int, in_channels: int) -> GateThenSum:
        return GateThenSum(convolution(channels, in_channels), TCJA(T, in_channels, KERNEL_C, KERNEL_T))


@dataclass(frozen=True)
class TAIDReadout(Readout):
    """Temporal attention on the output sequence, then the sum: TAID (arXiv 2406.03046).

    The gate is the sigmoid of a convolution from T to T steps with kernel 1, of the mean over space: CLA alone.
    """

    def build(self, T: int, channels: int, in_channels: int) -> GateThenSum:
        return GateThenSum(convolution(channels, in_channels), TCJA(T, in_channels, kernel_c=1, fusion="cla"))


READOUTS: dict[str, Readout] = {
    "membrane": MembraneReadout(),
    "tcja": TCJAReadout(),
    "taid": TAIDReadout(),
    "mean": MeanReadout(),
}
Readout.table = READOUTS
