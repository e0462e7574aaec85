"""The spiking layer: transform, norm, attention and neuron in a row."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..utils.spelling import check_choice
from . import fused
from .neuron import NeuronModule, check_neuron, for_kernels
from .norm import TDBatchNorm
from .params import FusedConstants
from .tcja import TCJA

Placement = Literal["spikes", "current"]


class SpikingLayer(nn.Module):
    """transform - norm - neurons, with TCJA on the spikes (behind the neurons) or on the current (before them).

    The transform and the norm know no time: they run once on the folded [T*N, ...]. The membrane is explicit: `step`
    takes and returns it, nothing is kept. Where a kernel knows the neuron, the same is computed fused (fused.py).

    Args:
        transform: a convolution or linear layer.
        norm: the tdBN behind it.
        neuron: the neurons.
        attention: a TCJA, or None.
        placement: where the TCJA sits. On the spikes the output is graded; on the current it stays binary.
        checkpoint: keep only the input for the backward pass and compute the layer again there: memory for time.

    Raises:
        ValueError: an unknown placement, or a neuron that is none; of an input, that the transform gives other channels
            than the norm has.
    """

    def __init__(
        self,
        transform: nn.Module,
        norm: TDBatchNorm,
        neuron: NeuronModule,
        attention: TCJA | None = None,
        placement: Placement = "spikes",
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        check_choice("placement", placement, Placement)
        check_neuron(neuron)
        if isinstance(transform, nn.Conv2d | nn.ConvTranspose2d):
            transform.to(memory_format=torch.channels_last)  # the layout of the fused kernels, and the faster one
        self.transform = transform
        self.norm = norm
        self.neuron = neuron
        self.attention = attention
        self.placement = placement
        self.checkpoint = checkpoint

    @property
    def gives_binary(self) -> bool:
        """Whether what comes out is 0 and 1 only: spikes that no gate has weighted."""
        return self.neuron.params.spiking and self._on_spikes is None

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, ...] -> spikes [T, N, C, ...]."""
        return self._maybe_checkpointed(self._sequence, x, len(x))

    def forward_static(self, x: Tensor, steps: int) -> Tensor:
        """The same x [N, ...] at each of T steps -> spikes [T, N, C, ...]; transform and norm are computed once."""
        return self._maybe_checkpointed(self._sequence, x.unsqueeze(0), steps)

    def summed(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """The sum over time of coefficients [T] times `forward(x)`, x [T, N, ...] -> [N, C, ...].

        In the type of the coefficients. The fused kernels write no spikes for it.
        """
        return self._maybe_checkpointed(self._sum, x, coefficients)

    def current(self, x: Tensor) -> Tensor:
        """x [T, N, ...] -> the current [T, N, C, ...] that drives the neurons, for one who lets them fire by chance."""
        return self._maybe_checkpointed(lambda x: self._current(self._transformed(x), len(x)), x)

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step by the running statistics: x [N, ...], membrane v or None -> spikes [N, C, ...], membrane.

        Raises:
            ValueError: the layer has TCJA, whose gate needs the whole sequence.
        """
        return self.stepper()(x, v)

    def stepper(self) -> fused.Step:
        """`step` for many steps: what the running statistics make of the norm is computed once, at the first.

        Raises:
            ValueError: as `step`.
        """
        if self.attention is not None:
            raise ValueError("a layer with TCJA cannot run one step at a time: its gate needs all T steps")
        fire: fused.Step | None = None

        def step(x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
            nonlocal fire
            y = self.transform(x)
            constants = self._for_kernels(y, y.shape[1])
            if constants is None:
                return self.neuron.step(self.norm.by_running_statistics(y), v)
            fire = fire or fused.stepper(self.norm, constants)
            return fire(y, v)

        return step

    def _sequence(self, x: Tensor, steps: int) -> Tensor:
        """x [T, N, ...], or [1, N, ...] for all T steps -> spikes [T, N, C, ...]."""
        y = self._transformed(x)
        plan = self._plan(y, steps)
        return self._spikes(y, steps) if plan is None else fused.fire_sequence(y, plan)

    def _sum(self, x: Tensor, coefficients: Tensor) -> Tensor:
        y = self._transformed(x)
        plan = self._plan(y, len(x))
        if plan is not None:
            return fused.fire_summed(y, plan, coefficients)
        spikes = self._spikes(y, len(x))
        return (coefficients.view(-1, *(1,) * (spikes.dim() - 1)) * spikes).sum(0)

    def _spikes(self, y: Tensor, steps: int) -> Tensor:
        """Output of the transform [T or 1, N, C, ...] -> spikes [T, N, C, ...], one equation after the other."""
        spikes, _ = self.neuron(self._current(y, steps))
        return spikes if self._on_spikes is None else self._on_spikes(spikes)

    def _current(self, y: Tensor, steps: int) -> Tensor:
        """Output of the transform [T or 1, N, C, ...] -> current [T, N, C, ...]."""
        current = self.norm(y.flatten(0, 1), repeats=steps // len(y)).unflatten(0, y.shape[:2])
        current = current.expand(steps, *current.shape[1:])
        return current if self._on_current is None else self._on_current(current)

    @property
    def _on_current(self) -> TCJA | None:
        return self.attention if self.placement == "current" else None

    @property
    def _on_spikes(self) -> TCJA | None:
        return self.attention if self.placement == "spikes" else None

    def _plan(self, y: Tensor, steps: int) -> fused.Plan | None:
        """What the fused kernels have to compute of y; None: they cannot."""
        constants = self._for_kernels(y, y.shape[2])
        if constants is None:
            return None
        return fused.Plan(self.norm, constants, steps, self._on_current, self._on_spikes)

    def _for_kernels(self, y: Tensor, channels: int) -> FusedConstants | None:
        """With what a fused kernel computes y of so many channels; None: norm and neurons run as they are written."""
        if channels != len(self.norm.weight):
            raise ValueError(
                f"the norm has {len(self.norm.weight)} channels, and the transform gives {channels}; build the layer "
                f"with TDBatchNorm({channels}, v_th)"
            )
        return for_kernels(self.neuron, y)

    def _transformed(self, x: Tensor) -> Tensor:
        """x [T, N, ...] -> transform(x) [T, N, C, ...].

        Batch statistics take a bias in front of them away: its gradient is zero, and is not computed. Over a
        channels-last output PyTorch takes longer for it than for the rest of a convolution's backward pass.
        """
        folded, transform = x.flatten(0, 1), self.transform
        bias = _plain_bias(transform) if self.norm.training and torch.is_grad_enabled() else None
        if bias is None:
            y = transform(folded)
        else:
            parameters = {"weight": _WithZeroGradient.apply(transform.weight, bias), "bias": bias.detach()}
            y = torch.func.functional_call(transform, parameters, folded)
        return y.unflatten(0, x.shape[:2])

    def _maybe_checkpointed(self, run: Callable[..., Tensor], *args: Any) -> Tensor:
        if not (self.checkpoint and torch.is_grad_enabled()):
            return run(*args)
        contexts = lambda: (nullcontext(), self.norm.untracked())  # noqa: E731
        return checkpoint(run, *args, use_reentrant=False, context_fn=contexts)


def _plain_bias(transform: nn.Module) -> Tensor | None:
    """The bias, where it and the weight are parameters; those of a parametrization are computed."""
    known = isinstance(transform, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    return transform._parameters.get("bias") if known and transform._parameters.get("weight") is not None else None


class _WithZeroGradient(torch.autograd.Function):
    """The weight itself; in the backward pass the bias gets a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(bias)
        return weight.detach()  # an alias: view_as would forget channels-last strides where C = 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, torch.zeros_like(ctx.saved_tensors[0])
