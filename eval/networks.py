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
        return read_pth(path), {"file": path.name}
    state, story = checkpoint.read(path)
    if story.get("kind") != kind:
        raise ValueError(f"{path} holds {story.get('kind', 'a model')}, expected {kind}")
    if story["sha256"] != tensors_sha256(state):
        raise ValueError(f"the weights in {path} were altered after they were saved; fetch or train them again")
    return state, story["provenance"]


def read_pth(path: Path) -> dict[str, Tensor]:
    """A plain state dict, never unpickled freely.

    Raises:
        ValueError: truncated, or anything but names and tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises OSError, RuntimeError, UnpicklingError, EOFError, ...
        raise ValueError(f"{path} is truncated or no plain PyTorch state dict; fetch it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no plain PyTorch state dict: expected names and tensors")
    return state


def fill(path: str | Path, kind: str, state: dict[str, Tensor], build: Callable[[dict[str, Tensor]], nn.Module]) -> Any:
    """The network that `build` makes for the sizes in `state`, with these weights, in evaluation mode.

    Raises:
        ValueError: they are the weights of something else.
    """
    try:
        network = build(state)
        network.load_state_dict(state)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no weights of the {kind}: {str(error)[:300]}") from error
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
    images = as_float(as_uint8(images) if recipe.quantise else images)
    return images.to(next(network.parameters())).clone(memory_format=torch.contiguous_format)
