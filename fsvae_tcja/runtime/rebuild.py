"""Whether a model is what its configuration says: what a checkpoint holds must be enough to build it again."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..utils.configuration import Part


def check_rebuilds(model: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Compare every module with the one that the configuration builds: class, parts, shapes of its tensors.

    Args:
        model: what is about to be saved.
        build: builds a model from the configuration that is saved with it.

    Raises:
        ValueError: they differ; the first module is named.
    """
    with torch.device("meta"):
        built = dict(build().named_modules())
    found = dict(model.named_modules())
    for name in sorted(found.keys() | built.keys()):
        here, there = found.get(name), built.get(name)
        if _description(here) != _description(there):
            raise ValueError(
                f"the configuration does not build this model again: {name or 'the model'} is {_short(here)}, it says "
                f"{_short(there)}. What is not in the configuration would be lost; build the model with it (a neuron, "
                "latent or read-out of your own: a Part in the table of its kind), or save the state_dict yourself"
            )


def _description(module: nn.Module | None) -> Any:
    if module is None:
        return None
    parts = {name: value for name, value in vars(module).items() if isinstance(value, Part)}
    tensors = {**module._parameters, **module._buffers}
    shapes = {name: None if tensor is None else tensor.shape for name, tensor in tensors.items()}
    return type(module), parts, shapes


def _short(module: nn.Module | None) -> str:
    """A module in a line: its class, and its own text if it has no others inside."""
    if module is None:
        return "nothing"
    return type(module).__name__ + ("" if list(module.children()) else f"({module.extra_repr()})")
