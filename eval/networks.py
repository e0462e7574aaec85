"""The small networks that scores look through: their files, their hash, and how a recipe runs them."""

from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from fsvae_tcja.runtime import checkpoint

from .features import Extractor
from .images import as_float, as_uint8
from .protocols import Recipe
from .provenance import tensors_sha256
from .published import AUTOENCODERS
from .randomness import isolated_randomness

SIZES = (32, 64)


class FeatureNetwork(nn.Module):
    """A network with a file: weights, hash and provenance in one .safetensors.

    Args:
        channels: 1 or 3.
        size: 32 or 64.
    """

    kind: ClassVar[str]
    """What it is, in one word."""
    command: ClassVar[str]
    """The command that makes one."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if channels not in (1, 3) or size not in SIZES:
            raise ValueError(f"the {self.kind} takes 1 or 3 channels of 32 or 64 pixels, found {channels} of {size}")
        self.channels = channels
        self.size = size
        self.provenance: dict[str, Any] = {}

    @classmethod
    def shaped_as(cls, state: dict[str, Tensor]) -> Self:
        """A network of the sizes that these weights have."""
        raise NotImplementedError

    @property
    def dims(self) -> dict[str, int]:
        """The layers that a score may use and the lengths of their features."""
        raise NotImplementedError

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        """Images [N, C, S, S] in [-1, 1] -> features [N, d] by layer."""
        raise NotImplementedError

    @property
    def sha256(self) -> str:
        """Hash of the weights, whatever file they came from."""
        return tensors_sha256(self.state_dict())

    @property
    def description(self) -> str:
        """What it was trained on, or the file that it came from."""
        if self.sha256 in AUTOENCODERS:
            return f"{self.kind} of {AUTOENCODERS[self.sha256]} (published)"
        if "data" in self.provenance:
            return f"{self.kind} of {self.provenance['data']}"
        return f"{self.kind} {self.provenance.get('file', 'untrained')}"

    def save(self, path: str | Path) -> None:
        """Write the weights; what they are and where they come from goes into the metadata."""
        metadata = {"kind": self.kind, "sha256": self.sha256, "provenance": self.provenance}
        checkpoint.write(path, self.state_dict(), metadata)

    @classmethod
    @isolated_randomness()  # of the weights that a new network has
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, or a plain .pth state dict; the sizes come from the file. In evaluation mode.

        Raises:
            FileNotFoundError: no such file.
            ValueError: truncated, altered, or the weights of something else.
        """
        path = Path(path).expanduser()
        state, provenance = cls._read(path)
        try:
            network = cls.shaped_as(state)
            checkpoint.load_into(network, state, path)
        except (KeyError, IndexError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path} holds no weights of the {cls.kind}: {error}") from error
        network.provenance = provenance
        return network.eval()

    @classmethod
    def _read(cls, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights and provenance."""
        if not path.is_file():
            raise FileNotFoundError(f"there is no {cls.kind} {path.absolute()}; make one with `{cls.command}`")
        if path.suffix in (".pth", ".pt"):
            return checkpoint.read_state_dict(path), {"file": path.name}
        state, metadata = checkpoint.read(path)
        if metadata.get("kind") != cls.kind:
            raise ValueError(f"{path} holds {metadata.get('kind', 'a model')}, expected {cls.kind}")
        if metadata.get("sha256") != tensors_sha256(state):
            raise ValueError(f"the weights in {path} were altered after they were saved; fetch or train them again")
        if not isinstance(provenance := metadata.get("provenance"), dict):
            raise ValueError(f"{path} does not say in a known form where its weights come from; train them again")
        return state, provenance

    def as_recipe(self, recipe: Recipe, device: torch.device | str = "cpu") -> Self:
        """A copy with the precision and the batch norms of a recipe, in evaluation mode."""
        network = deepcopy(self).eval().to(device, getattr(torch, recipe.precision))
        if recipe.batch_norm == "batch":
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):  # without running statistics it uses those of its batch
                    module.running_mean = module.running_var = None
        return network

    def extractor(self, recipe: Recipe, device: torch.device | str = "cpu") -> Extractor:
        """The network as a recipe wants it. Works on a copy: this one is not touched."""
        network = self.as_recipe(recipe, device)
        return Extractor(
            name=self.description,
            sha256=self.sha256,
            dims=self.dims,
            channels=self.channels,
            size=self.size,
            device=torch.device(device),
            features=lambda images: network.layers(pixels_for(network, images, recipe)),
            notes=self._notes(recipe),
        )

    def _notes(self, recipe: Recipe) -> tuple[str, ...]:
        if self.sha256 in AUTOENCODERS:
            return ()
        if recipe.protocol == "fsvae2022":
            return (f"the {self.description} is none that the FSVAE authors published: not for a table beside theirs",)
        if "data" not in self.provenance and "file" in self.provenance:
            return (f"{self.provenance['file']} is no published {self.kind}, and does not say what it was trained on",)
        return ()


def pixels_for(network: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    """Canonical images as a network in [-1, 1] sees them by a recipe.

    One memory layout whatever the source's: float32 sums in another order move a covariance by 3e-5.
    """
    parameter = next(network.parameters())
    images = as_float(as_uint8(images) if recipe.quantise else images, parameter.dtype)
    return images.to(parameter.device).clone(memory_format=torch.contiguous_format)
