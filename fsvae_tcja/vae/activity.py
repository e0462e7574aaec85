"""What flows through the FSVAE, layer by layer: for its energy and the firing of its neurons."""

from math import prod
from typing import NamedTuple

from torch import Tensor, nn

from ..core import TCJA, SpikingLayer
from ..core.operations import Weights


class Passing(NamedTuple):
    """A layer at work."""

    name: str
    weights: Weights | Tensor
    """The layer, or the fan-out [features] of its inputs."""
    x: Tensor
    """What its weights are given, [steps, N, ...]; [1, N, ...]: the same at every step."""
    steps: int
    """How often it works for an image: T, or as many micro-steps."""
    neurons: int
    """Behind the weights, for each step; 0: none."""
    spikes: Tensor | None = None
    """[steps, N, ...]; None: no neurons that fire."""
    attention: TCJA | None = None
    binary: bool = True
    """Whether x holds 0 and 1 only, whatever the image."""
    owner: nn.Module | None = None
    """The module whose weights they are, where `weights` is a fan-out."""


def gives_binary(layer: nn.Module) -> bool:
    """Whether what a layer gives is 0 and 1 only."""
    return isinstance(layer, SpikingLayer) and layer.gives_binary


def passing(name: str, layer: nn.Module, x: Tensor, y: Tensor, binary: bool) -> Passing:
    """A spiking layer, or a linear layer alone, that makes y [T, N, ...] of x."""
    if not isinstance(layer, SpikingLayer):
        assert isinstance(layer, nn.Linear)
        return Passing(name, layer, x, len(y), 0, binary=binary)
    assert isinstance(layer.transform, Weights)
    neurons, spikes = prod(y.shape[2:]), y if layer.neuron.params.spiking else None
    return Passing(name, layer.transform, x, len(y), neurons, spikes, layer.attention, binary)
