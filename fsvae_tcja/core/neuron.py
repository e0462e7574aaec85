"""What is common to the modules of all neurons, LIF and others."""

import torch
from torch import Tensor, nn

from . import backend as backends
from .params import FusedConstants, Neuron


class NeuronModule(nn.Module):
    """Spiking neurons as a layer. The state is explicit: it goes in and comes out of `forward` and `step`.

    A neuron of one's own inherits from this class and writes `step`, in plain PyTorch; the gradient of its spikes is
    that of `spike` (surrogate.py). It runs as written: the fused kernels, which know the LIF neuron only, stay away.

    Args:
        params: the part of the configuration that builds it.
        backend: "auto", or a name of `backend.BACKENDS`, which never falls back.

    Raises:
        ValueError: a backend is asked for by name that cannot run these neurons.
    """

    def __init__(self, params: Neuron, backend: str = "auto") -> None:
        super().__init__()
        self.params = params
        self.backend = backend
        if backend != "auto" and type(self).fused_constants is NeuronModule.fused_constants:
            backends.choose("cpu", torch.float32, backend, fusable=False)

    @property
    def v_th(self) -> float:
        """Firing threshold."""
        return self.params.v_th

    @property
    def fused_constants(self) -> FusedConstants | None:
        """What the fused kernels take in place of this module; None: they cannot, and `forward` and `step` run."""
        return None

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Current x [T, ...], or [T, N, C, ...] with channels, v [...] or None for rest -> spikes [T, ...], v [...]."""
        spikes = []
        for x_t in x:
            s, v = self.step(x_t, v)
            spikes.append(s)
        assert v is not None, "a sequence has at least one step"
        return torch.stack(spikes), v

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: current x [...], membrane v [...] or None for rest -> spikes [...], membrane [...]."""
        raise NotImplementedError(f"{type(self).__name__} has no step(x, v) -> (spikes, v)")

    def extra_repr(self) -> str:
        return str(self.params)


def check_neuron(neuron: object) -> None:
    """Raise ValueError unless a layer can run it."""
    if not isinstance(neuron, NeuronModule):
        raise ValueError(
            f"the neuron must be a NeuronModule such as LIF(params), found {type(neuron).__name__}; build "
            "parameters with params.build(channels), let an own module inherit from NeuronModule"
        )


def for_kernels(neuron: NeuronModule, x: Tensor) -> FusedConstants | None:
    """With which constants a fused kernel runs these neurons on tensors like x; None: their own `forward` runs.

    What does not spike needs none, and nobody is told.

    Raises:
        ValueError: what is no neuron, or a backend that is asked for by name cannot run them.
    """
    check_neuron(neuron)  # which may have been put into its layer later
    if not neuron.params.spiking:  # the rectifier of a baseline, which no kernel is for
        return None
    constants = neuron.fused_constants
    chosen = backends.choose(x.device.type, x.dtype, neuron.backend, constants is not None)
    return None if chosen == "reference" else constants
