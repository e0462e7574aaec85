"""What the generative model and the classifiers are both made of: neuron, surrogates, norm, attention, layer."""

from .layers import SpikingLayer
from .lif import FSVAE_LIF, LIF, TCJA_LIF, TCJA_TET_LIF, TCJA_TRIANGLE_LIF, LIFParams, lif, lif_step
from .linear import Linear
from .norm import TDBatchNorm
from .params import NEURONS, Neuron
from .surrogate import SURROGATES, Surrogate
from .tcja import TCJA, tcja, tcja_gate

__all__ = [
    "FSVAE_LIF",
    "LIF",
    "NEURONS",
    "SURROGATES",
    "TCJA",
    "TCJA_LIF",
    "TCJA_TET_LIF",
    "TCJA_TRIANGLE_LIF",
    "LIFParams",
    "Linear",
    "Neuron",
    "SpikingLayer",
    "Surrogate",
    "TDBatchNorm",
    "lif",
    "lif_step",
    "tcja",
    "tcja_gate",
]
