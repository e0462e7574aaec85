"""A classifier as a table of its layers."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fsvae_tcja.runtime.summary import as_table, layers_of, shapes_of

from ..model import SpikingClassifier
from .energy import energy


def summary(model: SpikingClassifier, inputs: Iterable[Tensor] | None = None) -> str:
    """Layers with output shape, parameters, neurons with threshold and decay.

    Args:
        model: it is left as it was.
        inputs: batches as `energy` takes them, to count the energy of each layer over; None: no such column.
    """
    layers = dict(layers_of(model))
    x = torch.zeros(model.config.T, 1, *model.config.shape, device=next(model.parameters()).device)
    shapes = shapes_of(layers, model, lambda: model(x))
    counted = None if inputs is None else _picojoules(model, layers, inputs)
    return f"{as_table(layers, shapes, counted)}\noutput: of one input at one of T = {model.config.T} steps"


def _picojoules(model: SpikingClassifier, layers: Iterable[str], inputs: Iterable[Tensor]) -> dict[str, float]:
    """Their energy report numbers the layers from 1, those that flatten aside."""
    rows = energy(model, inputs).layers
    indices = [i for i, layer in enumerate(model.layers) if not isinstance(layer, nn.Flatten)]
    numbers = {f"layers.{i}": str(number) for number, i in enumerate(indices, 1)}
    found = {}
    for name in layers:
        number = numbers[".".join(name.split(".")[:2])]
        found[name] = sum(row.pj for row in rows if row.name.split()[0] == number)
    return found
