"""Leaky integrate-and-fire neuron with explicit state. Equations: core/README.md, section 1."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from . import backend as backends
from .kernels.lif import reference, register
from .kernels.neuron import constants
from .params import NEURONS, Neuron
from .surrogate import Surrogate


@dataclass(frozen=True)
class LIFParams(Neuron):
    """The constants of one LIF family.

        u_t = decay v_{t-1} + gain x_t
        s_t = [u_t > v_th]  (strict)  or  [u_t >= v_th]
        v_t = u_t (1 - s_t)  (hard reset)  or  u_t - v_th s_t  (soft reset)

    Args:
        decay: membrane kept from one step to the next, in [0, 1].
        gain: factor on the input current.
        v_th: firing threshold, > 0, in the units of u.
        strict: fire when u > v_th (True) or when u >= v_th (False).
        hard_reset: reset to 0 (True) or subtract v_th (False).
        detach_reset: stop the gradient through the s_t inside v_t.
        surrogate: stands for ds/du in the backward pass.
    """

    decay: float = 0.5
    gain: float = 0.5
    v_th: float = 1.0
    strict: bool = False
    hard_reset: bool = True
    detach_reset: bool = True
    surrogate: Surrogate = field(default_factory=Surrogate)

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must lie in [0, 1], found {self.decay}")
        if not self.v_th > 0:
            raise ValueError(f"v_th must be > 0, found {self.v_th}")
        object.__setattr__(self, "constants", tuple(constants(self)))  # what the kernels take

    def build(self, channels: int, backend: str = "auto") -> "LIF":
        """The neurons of a layer of so many channels, all alike."""
        return LIF(self, backend)


FSVAE_LIF = LIFParams(0.25, 1.0, 0.2, True, True, False, Surrogate("rectangle", 1.0, centre=0.0))
"""FSVAE 2022. The surrogate's window is centred on 0, not on the threshold."""

TCJA_LIF = LIFParams(0.5, 0.5, 1.0, False, True, True, Surrogate("atan", 2.0))
"""TCJA networks trained with SMSE: tau = 2, decayed input."""

TCJA_TRIANGLE_LIF = LIFParams(0.5, 0.5, 1.0, False, True, True, Surrogate("triangle", 1.0))
"""TCJA CIFAR10-DVS network trained with SMSE."""

TCJA_TET_LIF = LIFParams(0.5, 1.0, 1.0, True, True, False, Surrogate("triangle", 1.0))
"""TCJA networks trained with TET."""

NEURONS |= {
    "fsvae2022": FSVAE_LIF,
    "atan": TCJA_LIF,
    "triangle": TCJA_TRIANGLE_LIF,
    "tet": TCJA_TET_LIF,
    "frame": replace(TCJA_LIF, decay=0.0, gain=1.0),
}


def _check_state(v: Tensor | None, like: Tensor) -> None:
    if v is not None and v.shape != like.shape:
        raise ValueError(
            f"the membrane has shape {list(v.shape)}, one step of the input {list(like.shape)}; "
            "pass the state that the same batch left, or None to start from rest"
        )


def _state(v: Tensor | None, x: Tensor) -> Tensor:
    """The membrane to start from, float32 also where the current x is stored in half precision."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.zeros_like(x, dtype=dtype) if v is None else v.to(dtype)


def _check_current(x: Tensor) -> None:
    if not x.is_floating_point():
        raise ValueError(f"the input current must be floating point, found {x.dtype}; convert it with x.float()")


def lif(
    x: Tensor, v: Tensor | None = None, *, params: LIFParams = FSVAE_LIF, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Run LIF neurons over a sequence.

    Args:
        x: input current [T, ...], floating point, T >= 1.
        v: membrane left by the step before, [...]; None starts from rest (zeros).
        params: the constants of the neuron.
        backend: "auto", or a name of `backend.BACKENDS`, which never falls back to another one.

    Returns:
        spikes [T, ...] in {0, 1}, in the type of x, and the membrane [...] after the last step, in float32 if x is
        stored in half precision. Feeding that membrane to the next call continues the sequence: splitting the time
        axis is an identity.

    Raises:
        ValueError: x has no time axis or no step, is not floating point, or v has another shape.
    """
    if x.dim() < 1 or x.shape[0] < 1:
        raise ValueError(f"x must be [T, ...] with T >= 1, found shape {list(x.shape)}")
    _check_current(x)
    _check_state(v, x[0])
    if backends.choose(x.device.type, x.dtype, backend) == "reference":
        return reference.lif(x, _state(v, x[0]), params)
    return register.lif(x, None, None, None, None, v, len(x), params.constants, params.surrogate.kind)


def lif_step(
    x: Tensor, v: Tensor | None = None, *, params: LIFParams = FSVAE_LIF, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """One step: current x [...] and membrane v [...] -> spikes [...], membrane [...]. Errors as `lif`."""
    spikes, v = lif(x[None], v, params=params, backend=backend)
    return spikes[0], v


class LIF(nn.Module):
    """LIF neurons as a layer. Holds constants only: the state goes in and comes out of `forward` and `step`."""

    def __init__(self, params: LIFParams = FSVAE_LIF, backend: str = "auto") -> None:
        super().__init__()
        self.params = params
        self.v_th = params.v_th
        self.backend = backend

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [T, ...], v [...] or None -> spikes [T, ...], v [...]."""
        return lif(x, v, params=self.params, backend=self.backend)

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [...], v [...] or None -> spikes [...], v [...]."""
        return lif_step(x, v, params=self.params, backend=self.backend)

    def extra_repr(self) -> str:
        return str(self.params)
