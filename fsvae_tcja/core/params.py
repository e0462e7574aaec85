"""Neurons as configuration: their constants, the families by name, and the numbers that the fused kernels take.

Nothing here computes. A neuron of one's own is a frozen dataclass that inherits from `Neuron` and builds its module
(neuron.py); a line in NEURONS gives it a name.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..utils.configuration import Part
from .surrogate import SURROGATES, Surrogate

if TYPE_CHECKING:
    from .neuron import NeuronModule

NEURONS: dict[str, "Neuron"] = {}
"""Every neuron that a configuration can name; filled below."""


class Neuron(Part):
    """A neuron as part of a configuration."""

    table: ClassVar[dict[str, Any]] = NEURONS

    v_th: float
    """Firing threshold in the units of the membrane: the norm in front scales the current to it."""
    spiking: ClassVar[bool] = True
    """Whether what it gives is 0 or 1."""

    def build(self, channels: int, backend: str = "auto") -> "NeuronModule":
        """The neurons behind a layer of C channels; sequences are [T, N, C, ...]."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")


class Constants(NamedTuple):
    """A LIF neuron in numbers. Its flags are folded into them, so that one kernel without a branch serves all:

    fired  = u > threshold          threshold = v_th (strict), or the float32 below v_th
    v      = keep u - drop  (fired) keep, drop = 0, 0 (hard reset) or 1, v_th (soft reset)
             u              (else)
    dv/ds  = -through (u - (keep u - drop)),  through = 0 (detached reset) or 1
    ds/du  = derivative(|u - centre|, a, b)
    """

    threshold: float
    decay: float
    gain: float
    keep: float
    drop: float
    through: float
    centre: float
    a: float
    b: float


class FusedConstants(NamedTuple):
    """All that the fused kernels know of a neuron: the last two arguments of every fused operation."""

    constants: tuple[float, ...]
    """The numbers of `Constants`, in its order."""
    surrogate: str
    """The key in SURROGATES whose derivative the kernels compile."""


@dataclass(frozen=True)
class LIFParams(Neuron):
    """The constants of a leaky integrate-and-fire neuron.

        u_t = decay v_{t-1} + gain x_t
        s_t = [u_t > v_th]  (strict)  or  [u_t >= v_th]
        v_t = u_t (1 - s_t)  (hard reset)  or  u_t - v_th s_t  (soft reset)

    None has a default, for the families differ in all of them. Start from one: `replace(TCJA_LIF, decay=0.25)`.

    Args:
        decay: membrane kept from one step to the next, in [0, 1].
        gain: factor on the input current.
        v_th: firing threshold, > 0, in the units of u.
        strict: fire when u > v_th (True) or when u >= v_th (False).
        hard_reset: reset to 0 (True) or subtract v_th (False).
        detach_reset: stop the gradient through the s_t inside v_t.
        surrogate: stands for ds/du in the backward pass.

    Raises:
        ValueError: a decay outside [0, 1], or a threshold that is not above 0.
    """

    decay: float
    gain: float
    v_th: float
    strict: bool
    hard_reset: bool
    detach_reset: bool
    surrogate: Surrogate

    fused_constants: ClassVar[FusedConstants | None]
    """For the fused kernels; None where the surrogate's rule is not one that they can compile."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must lie in [0, 1], found {self.decay}")
        if not self.v_th > 0:
            raise ValueError(f"v_th must be > 0, found {self.v_th}")
        object.__setattr__(self, "fused_constants", _fused_constants(self))

    def build(self, channels: int, backend: str = "auto") -> "NeuronModule":
        """LIF neurons, alike in all channels; a backend of `backend.BACKENDS` that is named never falls back."""
        from .lif import LIF  # stands above the kernels, which stand above this file

        return LIF(self, backend)


@dataclass(frozen=True)
class LeakyReLU(Neuron):
    """No spiking neuron: the rectifier max(x, slope x) of an ordinary network, for baselines. It keeps no membrane."""

    slope: float = 0.01
    """Of negative inputs."""

    v_th = 1.0  # the norm in front is an ordinary batch norm
    spiking: ClassVar[bool] = False

    def build(self, channels: int, backend: str = "auto") -> "NeuronModule":
        """Rectifiers, alike in all channels."""
        from .leaky_relu import Rectifier

        return Rectifier(self, backend)


def _fused_constants(params: LIFParams) -> FusedConstants | None:
    surrogate = params.surrogate
    if not SURROGATES[surrogate.kind].fusable:
        return None
    v_th = np.float32(params.v_th)
    a, b = surrogate.constants
    constants = Constants(
        threshold=float(v_th if params.strict else np.nextafter(v_th, np.float32(-np.inf))),
        decay=params.decay,
        gain=params.gain,
        keep=0.0 if params.hard_reset else 1.0,
        drop=0.0 if params.hard_reset else params.v_th,
        through=0.0 if params.detach_reset else 1.0,
        centre=params.v_th if surrogate.centre is None else surrogate.centre,
        a=a,
        b=b,
    )
    return FusedConstants(tuple(constants), surrogate.kind)


FSVAE_LIF = LIFParams(0.25, 1.0, 0.2, True, True, False, Surrogate("rectangle", 1.0, centre=0.0))
"""FSVAE 2022. The surrogate's window is centred on 0, not on the threshold."""

CENTRED_LIF = replace(FSVAE_LIF, surrogate=Surrogate("triangle", 0.5))
"""FSVAE_LIF with another surrogate: a triangle of half-width 0.5 centred on the threshold. Learns faster."""

TCJA_LIF = LIFParams(0.5, 0.5, 1.0, False, True, True, Surrogate("atan", 2.0))
"""TCJA networks trained with SMSE: tau = 2, decayed input."""

TCJA_TRIANGLE_LIF = LIFParams(0.5, 0.5, 1.0, False, True, True, Surrogate("triangle", 1.0))
"""TCJA CIFAR10-DVS network trained with SMSE."""

TCJA_TET_LIF = LIFParams(0.5, 1.0, 1.0, True, True, False, Surrogate("triangle", 1.0))
"""TCJA networks trained with TET."""

FRAME_LIF = replace(TCJA_LIF, decay=0.0, gain=1.0)
"""TCJA_LIF without memory, u_t = x_t: a baseline for what time is worth."""

NEURONS |= {
    "fsvae2022": FSVAE_LIF,
    "atan": TCJA_LIF,
    "triangle": TCJA_TRIANGLE_LIF,
    "tet": TCJA_TET_LIF,
    "frame": FRAME_LIF,
    "centred": CENTRED_LIF,
    "leaky-relu": LeakyReLU(),
}
