"""The spiking layer: transform, norm, attention and neuron in a row."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import backend as backends
from .kernels.norm_lif import norm_lif, norm_lif_sum
from .kernels.transform import transform
from .lif import LIF
from .norm import TDBatchNorm
from .tcja import TCJA

Placement = Literal["spikes", "current"]


class SpikingLayer(nn.Module):
    """transform - norm - LIF, with TCJA on the spikes (behind the LIF) or on the current (before it).

    The transform and the norm know no time: they run once on the folded [T*N, ...]. The membrane is explicit: `step`
    takes and returns it, nothing is kept.

    Args:
        transform: a convolution or linear layer.
        norm: the tdBN behind it.
        neuron: the LIF neurons.
        attention: a TCJA, or None.
        placement: where the TCJA sits. On the spikes the output is graded; on the current it stays binary.
        checkpoint: keep only the input for the backward pass and compute the layer again there: memory for time.
    """

    def __init__(
        self,
        transform: nn.Module,
        norm: TDBatchNorm,
        neuron: LIF,
        attention: TCJA | None = None,
        placement: Placement = "spikes",
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if placement not in ("spikes", "current"):
            raise ValueError(f"unknown placement {placement!r}: choose 'spikes' or 'current'")
        if isinstance(transform, nn.Conv2d | nn.ConvTranspose2d):
            transform.to(memory_format=torch.channels_last)  # the layout of the fused kernels, and the faster one
        self.transform = transform
        self.norm = norm
        self.neuron = neuron
        self.attention = attention
        self.placement = placement
        self.checkpoint = checkpoint

    def forward(self, x: Tensor, batch_statistics: bool | None = None) -> Tensor:
        """x [T, N, ...] -> spikes [T, N, ...]."""
        return self._sequence(x, len(x), batch_statistics)

    def forward_static(self, x: Tensor, steps: int) -> Tensor:
        """The same x [N, ...] at each of T steps -> spikes [T, N, ...]; transform and norm are computed once."""
        return self._sequence(x.unsqueeze(0), steps, None)

    def summed(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """The sum over time of coefficients [T] times `forward(x)`, x [T, N, ...] -> [N, ...].

        In the type of the coefficients. The fused kernels write no spikes for it.
        """
        return self._checkpointed(self._summed, x, coefficients)

    def _sequence(self, x: Tensor, steps: int, batch_statistics: bool | None) -> Tensor:
        return self._checkpointed(self._run, x, steps, batch_statistics)

    def _checkpointed(self, run: Callable[..., Tensor], *args) -> Tensor:
        if not (self.checkpoint and torch.is_grad_enabled()):
            return run(*args)
        contexts = lambda: (nullcontext(), self.norm.untracked())  # noqa: E731
        return checkpoint(run, *args, use_reentrant=False, context_fn=contexts)

    def _run(self, x: Tensor, steps: int, batch_statistics: bool | None) -> Tensor:
        return (self._fused if self._is_fused(x) else self._naive)(x, steps, batch_statistics)

    def _summed(self, x: Tensor, coefficients: Tensor) -> Tensor:
        if not self._is_fused(x):
            spikes = self._naive(x, len(x), None)
            return (coefficients.view(-1, *(1,) * (spikes.dim() - 1)) * spikes).sum(0)
        y = transform(self.transform, x)
        return norm_lif_sum(y, self.norm, self.neuron.params, coefficients, **self._attended, bias=self.transform.bias)

    def _is_fused(self, x: Tensor) -> bool:
        return backends.choose(x.device.type, x.dtype, self.neuron.backend) != "reference"

    @property
    def _gated(self) -> bool:
        return self.attention is not None and self.placement == "current"

    @property
    def _attended(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """What the attention does, as `norm_lif` takes it."""
        if self.attention is None:
            return {}
        return {"gate" if self._gated else "weight": self.attention.gate}

    def _naive(self, x: Tensor, steps: int, batch_statistics: bool | None) -> Tensor:
        batch = self.norm.takes_batch(batch_statistics)
        y = transform(self.transform, x).flatten(0, 1) if batch else self.transform(x.flatten(0, 1))
        bias = self.transform.bias if batch else None
        current = self.norm(y, steps // len(x), batch_statistics, bias).unflatten(0, x.shape[:2])
        current = current.expand(steps, *current.shape[1:])
        if self.attention is None:
            return self.neuron(current)[0]
        return self.neuron(self.attention(current))[0] if self._gated else self.attention(self.neuron(current)[0])

    def _fused(self, x: Tensor, steps: int, batch_statistics: bool | None) -> Tensor:
        return norm_lif(
            transform(self.transform, x),
            self.norm,
            self.neuron.params,
            steps=steps,
            bias=self.transform.bias,
            **self._attended,
            batch_statistics=batch_statistics,
        )[0]

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step by the running statistics: x [N, ...], membrane v or None -> spikes, membrane.

        Raises:
            ValueError: the layer has TCJA, whose gate needs the whole sequence.
        """
        if self.attention is not None:
            raise ValueError("a layer with TCJA cannot run one step at a time: its gate needs all T steps")
        if self._is_fused(x):
            y = transform(self.transform, x.unsqueeze(0))
            norm, bias = self.norm, self.transform.bias
            spikes, v = norm_lif(y, norm, self.neuron.params, bias=bias, v=v, batch_statistics=False)
            return spikes[0], v
        return self.neuron.step(self.norm(self.transform(x), batch_statistics=False), v)
