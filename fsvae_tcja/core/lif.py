"""Leaky integrate-and-fire neuron with explicit state. Equations: core/README.md, section 1."""

import torch
from torch import Tensor

from . import backend as backends
from .kernels.lif import reference, register
from .neuron import NeuronModule
from .params import FSVAE_LIF, FusedConstants, LIFParams


def lif(
    x: Tensor, v: Tensor | None = None, *, params: LIFParams = FSVAE_LIF, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Run LIF neurons over a sequence.

        u_t = decay v_{t-1} + gain x_t
        s_t = [u_t > v_th]  or  [u_t >= v_th]
        v_t = u_t (1 - s_t)  or  u_t - v_th s_t

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
        ValueError: x has no time axis or no step, is not floating point, or v has another shape; the backend is
            unknown, or was asked for by name and cannot run.
    """
    if x.dim() < 1 or x.shape[0] < 1:
        raise ValueError(f"x must be [T, ...] with T >= 1, found shape {list(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"the input current must be floating point, found {x.dtype}; convert it with x.float()")
    if v is not None and v.shape != x.shape[1:]:
        raise ValueError(
            f"the membrane has shape {list(v.shape)}, one step of the input {list(x.shape[1:])}; "
            "pass the state that the same batch left, or None to start from rest"
        )
    constants = params.fused_constants
    if backends.choose(x.device.type, x.dtype, backend, constants is not None) == "reference" or constants is None:
        return reference.sequence(x, _membrane(v, x[0]), params)
    return register.fire(x, None, None, None, None, v, len(x), *constants)


def _membrane(v: Tensor | None, x: Tensor) -> Tensor:
    """The membrane to start from, float32 also where the current x is stored in half precision."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.zeros_like(x, dtype=dtype) if v is None else v.to(dtype)


def lif_step(
    x: Tensor, v: Tensor | None = None, *, params: LIFParams = FSVAE_LIF, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """One step of `lif`: current x [...], membrane v [...] or None for rest -> spikes [...], membrane [...].

    Raises:
        ValueError: x is not floating point, v has another shape, or the backend cannot run.
    """
    spikes, v = lif(x[None], v, params=params, backend=backend)
    return spikes[0], v


class LIF(NeuronModule):
    """LIF neurons as a layer. Holds constants only, and no membrane.

    A subclass with a `forward` or `step` of its own is another neuron: it runs as written, without the fused kernels.

    Args:
        params: the constants; by default those of FSVAE 2022, as in `lif`.
        backend: "auto", or a name of `backend.BACKENDS`, which never falls back.
    """

    params: LIFParams

    def __init__(self, params: LIFParams = FSVAE_LIF, backend: str = "auto") -> None:
        super().__init__(params, backend)

    @property
    def fused_constants(self) -> FusedConstants | None:
        own = type(self).forward is not LIF.forward or type(self).step is not LIF.step
        return None if own else self.params.fused_constants

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [T, ...], v [...] or None -> spikes [T, ...], v [...]."""
        if type(self).step is not LIF.step:
            return super().forward(x, v)
        return lif(x, v, params=self.params, backend=self.backend)

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [...], v [...] or None -> spikes [...], v [...]."""
        return lif_step(x, v, params=self.params, backend=self.backend)
