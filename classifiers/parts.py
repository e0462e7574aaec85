"""The parts of a classifier by name, and what flows through them while it runs."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fsvae_tcja.core import TCJA, SpikingLayer
from fsvae_tcja.runtime.modes import evaluated

from .layers import Dense, Fire, Folded, TimeDropout
from .model import SpikingClassifier
from .residual import Current, ResidualBlock


class Place(NamedTuple):
    """Where a tensor can be read: what a module is called with, or what it returns."""

    module: nn.Module
    side: Literal["input", "output"]

    def hook(self, read: Callable[[Tensor], None]) -> RemovableHandle:
        """Have `read` called with the tensor each time that it passes."""
        if self.side == "input":
            return self.module.register_forward_pre_hook(lambda module, args: read(args[0]))
        return self.module.register_forward_hook(lambda module, args, output: read(output))


class Part(NamedTuple):
    """A convolution or linear layer with what is behind it, each None where there is none.

    Its name is the number of the layer in the description, from 1, and the layer: "3 128C". TCJA, and LIF behind a
    linear layer, are part of the layer before them. A residual block has parts of its own: "5 128R conv 1".
    """

    name: str
    weights: nn.Conv2d | nn.Linear | None = None
    spikes: Place | None = None
    """Where the spikes [T, N, ...] of its neurons pass, graded with TCJA on the spikes."""
    attention: TCJA | None = None
    binary: bool = False
    """Whether its weights are fed with 0 and 1 only, whatever the input: with spikes that no gate, average or sum has
    changed. Max pooling keeps them; the network's own input is analog."""


def parts(model: SpikingClassifier) -> list[Part]:
    """All parts with weights or neurons, in the order of the layers."""
    found: list[Part] = []
    names = iter(_names(model.config.layers))
    binary = False
    for layer, after in zip(model.layers, [*model.layers[1:], None], strict=True):
        if isinstance(layer, nn.Flatten):
            continue  # not in the description
        # Read where the next layer takes it: forward_static, which an image goes through first, runs no hooks.
        output = Place(layer, "output") if after is None else Place(after, "input")
        found += _parts(layer, next(names), output, binary)
        binary = _gives_binary(layer, binary)
    return found


def _gives_binary(layer: nn.Module, given: bool) -> bool:
    """Whether a layer gives 0 and 1 only, if it is `given` that or not."""
    match layer:
        case SpikingLayer():
            return layer.gives_binary
        case Dense() | Fire():
            return layer.neuron.params.spiking
        case TimeDropout() | Folded(layer=nn.MaxPool2d()):
            return given
    return False  # averages, logits, currents


def _names(layers: str) -> list[str]:
    texts = [text for text in layers.split() if not text.startswith("TCJA")]
    own = [text for i, text in enumerate(texts) if not (text == "LIF" and texts[i - 1].startswith("FC"))]
    return [f"{i} {text}" for i, text in enumerate(own, 1)]


def _parts(layer: nn.Module, name: str, output: Place, binary: bool) -> list[Part]:
    match layer:
        case SpikingLayer():
            return [Part(name, _weights(layer.transform), output, layer.attention, binary)]
        case Dense():
            return [Part(name, _weights(layer.transform), output, binary=binary)]
        case Fire():
            return [Part(name, None, output)]
        case Current():
            return [Part(name, _weights(layer.transform), binary=binary)]
        case Folded(layer=nn.Linear()):
            return [Part(name, _weights(layer.layer), binary=binary)]
        case ResidualBlock():
            return _residual(layer, name, binary)
    return []


def _residual(block: ResidualBlock, name: str, binary: bool) -> list[Part]:
    inner, end, shortcut = block.inner, block.end, block.shortcut
    spiking = inner.neuron.params.spiking
    found = [
        Part(f"{name} LIF", None, Place(inner, "input")),
        Part(f"{name} conv 1", _weights(inner.transform), Place(end, "input"), inner.attention, spiking),
        Part(f"{name} conv 2", _weights(end.transform), binary=inner.gives_binary),
    ]
    if shortcut is not None:
        found.append(Part(f"{name} shortcut", _weights(shortcut.transform), binary=binary))
    return found


def _weights(transform: nn.Module) -> nn.Conv2d | nn.Linear:
    assert isinstance(transform, nn.Conv2d | nn.Linear)
    return transform


def observe(
    model: SpikingClassifier, inputs: Iterable[Tensor], readers: Iterable[tuple[Place, Callable[[Tensor], None]]] = ()
) -> int:
    """Run a model over batches of inputs and have what passes at some places read.

    In eval mode and without gradient. Training flags and the global random state, from which a DataLoader draws, are
    as before afterwards, and no hook stays, also if something raises.

    Args:
        model: the classifier.
        inputs: batches, images [N, C, H, W] or sequences [T, N, C, H, W], not both.
        readers: places, each with the function that takes its tensors.

    Returns:
        n, the number of inputs.

    Raises:
        ValueError: no input, images among sequences, or what the model refuses.
    """
    n, dims = 0, set()
    with evaluated(model), torch.random.fork_rng(devices=[]), ExitStack() as hooks:
        for place, read in readers:
            hooks.callback(place.hook(read).remove)
        for x in inputs:
            dims.add(x.dim())
            if len(dims) > 1:
                raise ValueError("the batches must be all images or all sequences, found both")
            model(x)
            n += x.shape[-4]
    if n == 0:
        raise ValueError("no inputs: expected at least one batch")
    return n
