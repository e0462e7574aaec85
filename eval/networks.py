"""The small networks: their files (weights, hash and provenance in one .safetensors), and how a recipe runs them."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fsvae_tcja.runtime import checkpoint

from .images import as_float, as_uint8
from .protocols import Recipe
from .provenance import tensors_sha256
from .randomness import isolated_randomness


def save_network(path: str | Path, kind: str, network: nn.Module, provenance: dict[str, Any]) -> None:
    """Write the weights; what they are and where they come from goes into the metadata."""
    state = network.state_dict()
    checkpoint.write(path, state, {"kind": kind, "sha256": tensors_sha256(state), "provenance": provenance})


def read_network(path: str | Path, kind: str, command: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and provenance, from what `save_network` wrote or from a plain .pth state dict.

    Args:
        path: the file.
        kind: what it must hold.
        command: that makes such a file, for the error.

    Raises:
        FileNotFoundError: no such file.
        ValueError: truncated, altered, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {kind} {path.absolute()}; make one with `{command}`")
    if path.suffix in (".pth", ".pt"):
        return checkpoint.read_state_dict(path), {"file": path.name}
    state, story = checkpoint.read(path)
    if story.get("kind") != kind:
        raise ValueError(f"{path} holds {story.get('kind', 'a model')}, expected {kind}")
    if story["sha256"] != tensors_sha256(state):
        raise ValueError(f"the weights in {path} were altered after they were saved; fetch or train them again")
    return state, story["provenance"]


@isolated_randomness()
def fill(path: str | Path, kind: str, state: dict[str, Tensor], build: Callable[[dict[str, Tensor]], nn.Module]) -> Any:
    """The network that `build` makes for the sizes in `state`, with these weights, in evaluation mode.

    Raises:
        ValueError: they are the weights of something else.
    """
    try:
        network = build(state)
        checkpoint.load_into(network, state, path)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no weights of the {kind}: {error}") from error
    return network.eval()


def describe(kind: str, provenance: dict[str, Any]) -> str:
    """A network in words: what it was trained on, or the file that it came from."""
    if "data" in provenance:
        return f"{kind} of {provenance['data']}"
    return f"{kind} {provenance.get('file', 'untrained')}"


def as_recipe(network: nn.Module, recipe: Recipe, device: torch.device | str) -> Any:
    """A copy of a network with the precision and the batch norms of a recipe, in evaluation mode."""
    network = deepcopy(network).eval().to(device, getattr(torch, recipe.precision))
    if recipe.batch_norm == "batch":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # without running statistics it uses those of its batch
                module.running_mean = module.running_var = None
    return network


def pixels_for(network: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    """Canonical images as a network in [-1, 1] sees them by a recipe.

    One memory layout whatever the source's: float32 sums in another order move a covariance by 3e-5.
    """
    parameter = next(network.parameters())
    images = as_float(as_uint8(images) if recipe.quantise else images, parameter.dtype)
    return images.to(parameter.device).clone(memory_format=torch.contiguous_format)
