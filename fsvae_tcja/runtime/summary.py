"""A model as a table: its layers with output shape, parameters, firing rule and energy."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from ..core import NEURONS, TCJA, LIFParams, NeuronModule
from ..utils.tables import table
from .modes import evaluated

Shape = tuple[int, ...]


def layers_of(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers by their names in the checkpoint; every parameter of the model belongs to one of them."""
    for name, child in model.named_children():
        inner = child.named_children()
        if child._parameters or isinstance(child, TCJA) or any(isinstance(x, NeuronModule) for _, x in inner):
            yield prefix + name, child
        else:
            yield from layers_of(child, f"{prefix}{name}.")


def shapes_of(layers: Mapping[str, nn.Module], model: nn.Module, run: Callable[[], Any]) -> dict[str, Shape]:
    """What each layer that works during `run` gives for one image and step, [C, H, W] or [features]; in eval mode."""
    shapes: dict[str, Shape] = {}
    with evaluated(model), ExitStack() as hooks:
        for name, layer in layers.items():
            # A layer may be run by other methods than forward; its transform is called, on the folded [T*N, ...].
            place = getattr(layer, "transform", layer)
            time = int(place is layer and any(isinstance(x, NeuronModule | TCJA) for x in layer.modules()))

            def read(module: nn.Module, args: Any, output: Tensor, name: str = name, skipped: int = 1 + time) -> None:
                shapes[name] = tuple(output.shape[skipped:])

            hooks.callback(place.register_forward_hook(read).remove)
        run()
    return shapes


def as_table(
    layers: Mapping[str, nn.Module], shapes: Mapping[str, Shape], picojoules: Mapping[str, float] | None = None
) -> str:
    """A line for each layer and a total; without picojoules there is no column of energy."""
    rows, total = [], 0
    known = {} if picojoules is None else {**picojoules, "total": sum(picojoules.values())}
    for name, layer in layers.items():
        parameters = sum(p.numel() for p in layer.parameters())
        total += parameters
        shape = "x".join(map(str, shapes.get(name, ())))
        rows.append([name, shape, f"{parameters:,}", *_rule(layer), _nanojoules(known, name)])
    rows.append(["total", "", f"{total:,}", "", "", "", _nanojoules(known, "total")])
    header = ["layer", "output", "parameters", "neurons", "threshold", "decay", "nJ / image"]
    width = len(header) - (picojoules is None)
    return table(header[:width], [row[:width] for row in rows])


def _rule(layer: nn.Module) -> tuple[str, str, str]:
    """Family of the neurons, threshold, decay; empty where there are none."""
    neuron = next((x for x in layer.modules() if isinstance(x, NeuronModule)), None)
    gate = " + TCJA" if neuron and any(isinstance(x, TCJA) for x in layer.modules()) else ""
    if neuron is None:
        return ("TCJA" if isinstance(layer, TCJA) else ""), "", ""
    params = neuron.params
    family = next((name for name, known in NEURONS.items() if known == params), type(params).__name__) + gate
    if not params.spiking:
        return family, "", ""
    return family, f"{params.v_th:g}", f"{params.decay:g}" if isinstance(params, LIFParams) else ""


def _nanojoules(picojoules: Mapping[str, float], name: str) -> str:
    return f"{picojoules[name] / 1000:,.1f}" if name in picojoules else ""
