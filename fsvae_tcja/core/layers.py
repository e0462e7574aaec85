"""The spiking layer: transform, norm, attention and neuron in a row."""

from typing import Literal

from torch import Tensor, nn

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
    """

    def __init__(
        self,
        transform: nn.Module,
        norm: TDBatchNorm,
        neuron: LIF,
        attention: TCJA | None = None,
        placement: Placement = "spikes",
    ) -> None:
        super().__init__()
        if placement not in ("spikes", "current"):
            raise ValueError(f"unknown placement {placement!r}: choose 'spikes' or 'current'")
        self.transform = transform
        self.norm = norm
        self.neuron = neuron
        self.attention = attention
        self.placement = placement

    def forward(self, x: Tensor, batch_statistics: bool | None = None) -> Tensor:
        """x [T, N, ...] -> spikes [T, N, ...]."""
        steps = x.shape[0]
        current = self.norm(self.transform(x.flatten(0, 1)), batch_statistics=batch_statistics)
        return self._fire(current.unflatten(0, (steps, -1)))

    def forward_static(self, x: Tensor, steps: int) -> Tensor:
        """The same x [N, ...] at each of T steps -> spikes [T, N, ...]; transform and norm are computed once."""
        current = self.norm(self.transform(x), repeats=steps)
        return self._fire(current.expand(steps, *current.shape))

    def _fire(self, current: Tensor) -> Tensor:
        if self.attention is not None and self.placement == "current":
            current = self.attention(current)
        spikes, _ = self.neuron(current)
        if self.attention is not None and self.placement == "spikes":
            spikes = self.attention(spikes)
        return spikes

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step by the running statistics: x [N, ...], membrane v or None -> spikes, membrane.

        Raises:
            ValueError: the layer has TCJA, whose gate needs the whole sequence.
        """
        if self.attention is not None:
            raise ValueError("a layer with TCJA cannot run one step at a time: its gate needs all T steps")
        return self.neuron.step(self.norm(self.transform(x), batch_statistics=False), v)
