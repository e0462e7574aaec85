"""What a classifier is: its layers as a line of text, its neurons, its attention. Saved inside every checkpoint."""

from dataclasses import dataclass
from typing import Literal

from fsvae_tcja.core import NEURONS, Neuron, Placement
from fsvae_tcja.utils.spelling import check_choice

from .description import parse

Attention = Literal["joint", "add", "tla", "cla", "none"]


@dataclass(frozen=True)
class ClassifierConfig:
    """A spiking classifier. The defaults are the small network for digits."""

    layers: str = "32C TCJA(4,4) MP2 64C TCJA(4,4) MP2 DP.5 FC100 LIF Vote10"
    """The network, a token per layer: see classifiers/README.md."""
    T: int = 4
    """Time steps."""
    shape: tuple[int, int, int] = (1, 16, 16)
    """Channels, height and width of the input."""
    classes: int = 10
    """Number of classes."""
    neuron: Neuron = NEURONS["atan"]
    """Neurons: atan or triangle (tau 2, input decayed, detached reset), or tet (gradient through the reset). frame:
    neurons without memory; without TCJA the network then sees single frames only, a baseline for what time is worth."""
    bias: bool = False
    """Whether the convolutions in front of a norm have a bias."""
    attention: Attention = "joint"
    """What the TCJA tokens stand for: both attentions joined by product (the paper's) or sum, one of them, or none."""
    placement: Placement = "spikes"
    """TCJA behind the neurons (the next layer sees graded values), or before them (only spikes travel)."""

    def __post_init__(self) -> None:
        for name, value in (("T", self.T), ("classes", self.classes)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, found {value!r}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape must be channels, height and width, each >= 1, found {self.shape}")
        object.__setattr__(self, "neuron", Neuron.of(self.neuron))
        check_choice("attention", self.attention, Attention)
        check_choice("placement", self.placement, Placement)
        parse(self.layers)
