"""The rectifier of an ordinary network in the place of a neuron."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .neuron import NeuronModule
from .params import LeakyReLU


class Rectifier(NeuronModule):
    """y = max(x, slope x) at every step; the membrane that comes out is zero."""

    params: LeakyReLU

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Current x [T, ...] -> activations [T, ...], zeros [...]."""
        return F.leaky_relu(x, self.params.slope), torch.zeros_like(x[0])

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: current x [...] -> activations [...], zeros [...]."""
        return F.leaky_relu(x, self.params.slope), torch.zeros_like(x)
