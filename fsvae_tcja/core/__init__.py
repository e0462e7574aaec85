"""What the generative model and the classifiers are both made of: neuron, surrogates, norm, attention, layer."""

from .backend import BACKENDS
from .gates import record_gates
from .layers import Placement, SpikingLayer
from .lif import LIF, lif, lif_step
from .linear import Linear
from .neuron import NeuronModule
from .norm import TDBatchNorm
from .params import (
    CENTRED_LIF,
    FRAME_LIF,
    FSVAE_LIF,
    NEURONS,
    TCJA_LIF,
    TCJA_TET_LIF,
    TCJA_TRIANGLE_LIF,
    FusedConstants,
    LeakyReLU,
    LIFParams,
    Neuron,
)
from .resampling import Doubling, Halving
from .surrogate import SURROGATES, Rule, Surrogate, spike
from .tcja import TCJA, Fusion, tcja, tcja_gate

__all__ = [
    "BACKENDS",
    "CENTRED_LIF",
    "FRAME_LIF",
    "FSVAE_LIF",
    "LIF",
    "NEURONS",
    "SURROGATES",
    "TCJA",
    "TCJA_LIF",
    "TCJA_TET_LIF",
    "TCJA_TRIANGLE_LIF",
    "Doubling",
    "FusedConstants",
    "Fusion",
    "Halving",
    "LIFParams",
    "LeakyReLU",
    "Linear",
    "Neuron",
    "NeuronModule",
    "Placement",
    "Rule",
    "SpikingLayer",
    "Surrogate",
    "TDBatchNorm",
    "lif",
    "lif_step",
    "record_gates",
    "spike",
    "tcja",
    "tcja_gate",
]
