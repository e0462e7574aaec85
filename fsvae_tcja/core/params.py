"""Neurons as parts of a configuration."""

from typing import Any

from torch import nn

from ..utils.configuration import Part

NEURONS: dict[str, Any] = {}


class Neuron(Part):
    """A kind of neuron by its parameters: what a configuration names and a checkpoint keeps."""

    table = NEURONS

    def build(self, channels: int, backend: str = "auto") -> nn.Module:
        """The neurons of a layer of so many channels."""
        raise NotImplementedError
