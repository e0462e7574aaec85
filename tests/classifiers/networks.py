"""Small networks whose neurons fire, and what flows through them, layer by layer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from classifiers.config import ClassifierConfig
from classifiers.model import SpikingClassifier
from classifiers.residual import ResidualBlock
from fsvae_tcja.core import LIF, TCJA, TDBatchNorm


def network(layers: str, T: int = 3, shape=(2, 8, 9), classes: int = 3, backend: str = "reference", **more):
    """A network in training mode with wide norms and gates, of which some neurons fire and some do not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SpikingClassifier(ClassifierConfig(layers, T, shape, classes, **more))
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, TDBatchNorm):
                    module.weight.uniform_(1, 4)
                    module.bias.uniform_(-1, 2)
                elif isinstance(module, nn.Linear):
                    module.weight.uniform_(-2, 3)
                elif isinstance(module, TCJA):
                    for weight in module.parameters():
                        weight.mul_(4)
                elif isinstance(module, LIF):
                    module.backend = backend
    return model


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2


@torch.no_grad()
def flow(model: SpikingClassifier, x: Tensor) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """(layer, its input, its output) in eval mode; of a residual block its neuron, inner, end and shortcut."""
    model.eval()
    for i, layer in enumerate(model.layers):
        static = i == 0 and x.dim() == 4
        y = layer.forward_static(x, model.config.T) if static else layer(x)
        if isinstance(layer, ResidualBlock):
            spikes = layer.neuron(x)[0]
            inner = layer.inner(spikes)
            yield layer.neuron, x, spikes
            yield layer.inner, spikes, inner
            yield layer.end, inner, layer.end(inner)
            if layer.shortcut is not None:
                yield layer.shortcut, x, layer.shortcut(x)
        else:
            yield layer, x, y
        x = y


RESIDUAL = "3S 3R TCJA(2,2) 4R/2 TCJA(3,2) LIF GAP FC3"
PLAIN = "3C TCJA(2,2) MP2 4C TCJA(3,2) AP2 DP.5 FC6 LIF FC3"
