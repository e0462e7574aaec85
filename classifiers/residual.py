"""Residual blocks with membrane shortcut (MS-ResNet, Hu et al., arXiv 2112.08954)."""

from torch import Tensor, nn

from fsvae_tcja.core import NeuronModule, SpikingLayer, TDBatchNorm


class Current(nn.Module):
    """Convolution and batch norm without a neuron: what flows into the membranes."""

    def __init__(self, transform: nn.Module, norm: TDBatchNorm) -> None:
        super().__init__()
        self.transform = transform
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, C, H, W] -> current [T, N, C', H', W']."""
        return self.norm(self.transform(x.flatten(0, 1))).unflatten(0, x.shape[:2])

    def forward_static(self, x: Tensor, steps: int) -> Tensor:
        """The same x [N, C, H, W] at each of T steps -> current [T, N, C', H', W'], computed once."""
        current = self.norm(self.transform(x), repeats=steps)
        return current.expand(steps, *current.shape)


class ResidualBlock(nn.Module):
    """current -> LIF - conv - norm - LIF (- TCJA) - conv - norm, plus the current itself.

    Only spikes enter the two 3x3 convolutions (graded ones with TCJA on the spikes); the shortcut carries currents.

    Args:
        neuron: the first LIF.
        inner: first convolution, norm, LIF and TCJA.
        end: second convolution and norm.
        shortcut: 1x1 convolution and norm where the shape changes, else None.
    """

    def __init__(self, neuron: NeuronModule, inner: SpikingLayer, end: Current, shortcut: Current | None) -> None:
        super().__init__()
        self.neuron = neuron
        self.inner = inner
        self.end = end
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, C, H, W] -> current [T, N, C', H', W']."""
        y = self.end(self.inner(self.neuron(x)[0]))
        return y + (x if self.shortcut is None else self.shortcut(x))
