"""Layers around the spiking ones. Sequences are [T, N, ...]."""

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvae_tcja.core import Linear, NeuronModule
from fsvae_tcja.utils.shares import Share


class Folded(nn.Module):
    """A layer that knows no time, run once on the folded [T*N, ...]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, ...] -> [T, N, ...]."""
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class TimeDropout(nn.Module):
    """Dropout whose mask [N, ...] is the same at every time step.

    Attributes:
        share: what the N samples are of a batch, whose mask is drawn; None: all of it.
    """

    share: Share | None = None

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, ...] -> x mask / (1 - p) in training mode, else x."""
        return x * self._mask(torch.ones_like(x[0])) if self.training else x

    def _mask(self, ones: Tensor) -> Tensor:
        if self.share is None:
            return F.dropout(ones, self.p)
        whole = torch.cat([ones] * ceil(self.share.whole / len(ones)))[: self.share.whole]
        return self.share.take(F.dropout(whole, self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dense(nn.Module):
    """Linear layer and LIF neurons, without norm and bias."""

    def __init__(self, inputs: int, outputs: int, neuron: NeuronModule) -> None:
        super().__init__()
        self.transform = Linear(inputs, outputs, bias=False)
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, inputs] -> spikes [T, N, outputs]."""
        return self.neuron(self.transform(x.flatten(0, 1)).unflatten(0, x.shape[:2]))[0]


class Fire(nn.Module):
    """LIF neurons by themselves: current [T, N, ...] -> spikes [T, N, ...]."""

    def __init__(self, neuron: NeuronModule) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x)[0]


class Vote(nn.Module):
    """Average over groups of `voters` neurons: [T, N, classes * voters] -> [T, N, classes]."""

    def __init__(self, voters: int) -> None:
        super().__init__()
        self.voters = voters

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, self.voters)).mean(3)
