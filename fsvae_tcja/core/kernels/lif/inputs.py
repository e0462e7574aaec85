"""The tensors that a fused LIF operation takes."""

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """What the neurons are driven by. Each but y may be None; the tables need scale and shift.

    The current is current_gate (scale y + shift), and what comes out are the spikes times spike_gate.
    """

    y: Tensor
    """[T, ...], [T, N, C, ...] with scale and shift; [1, ...] is the same at each of the T steps."""
    scale: Tensor | None = None
    """[C]."""
    shift: Tensor | None = None
    """[C]; both or neither."""
    current_gate: Tensor | None = None
    """[T, N, C], a factor on the current."""
    spike_gate: Tensor | None = None
    """[T, N, C], a factor on the spikes."""
    v: Tensor | None = None
    """Membrane before the first step [...]; None: rest."""


class Gradients(NamedTuple):
    """Gradients of the inputs in their shapes, float32 but for that of y; those of absent inputs are empty."""

    y: Tensor
    scale: Tensor
    shift: Tensor
    current_gate: Tensor
    spike_gate: Tensor
    v: Tensor
