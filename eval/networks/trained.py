"""Small networks that are trained here: their files and their hash."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.memory import no_larger_than
from fsvae_tcja.runtime.pretrained import located, names
from fsvae_tcja.utils.foreign import reading

from ..features import Extractor
from ..images import TRAINED
from ..provenance import tensors_sha256
from ..randomness import isolated_randomness
from .network import LayeredNetwork, Network, as_recipe, check_finite, features_of
from .published import AUTOENCODERS

if TYPE_CHECKING:
    from ..protocols import Recipe

FEW_IMAGES = 1000  # a network trained on fewer is no judge of a data set


class FeatureNetwork(LayeredNetwork):
    """A network with a file: weights, hash and provenance in one .safetensors.

    Args:
        channels: 1 or 3.
        size: 32 or 64.
    """

    kind: ClassVar[str]
    """What it is, in one word."""
    command: ClassVar[str]
    """The command that makes one."""
    figure: ClassVar[str]
    """Of its provenance: how good it is on the test split."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if channels not in (1, 3) or size not in TRAINED:
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

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write the weights; what they are and where they come from goes into the metadata.

        Args:
            path: of the file.
            half: in half precision, to which the network itself is rounded too.

        Raises:
            ValueError: weights that are not finite.
        """
        if half:
            self.half().float()
        self.check_finite(f"{path} is not written")
        metadata = {"kind": self.kind, "sha256": self.sha256, "provenance": self.provenance}
        state = {name: t.half() if half and t.is_floating_point() else t for name, t in self.state_dict().items()}
        checkpoint.write(path, state, metadata)

    def check_finite(self, otherwise: str) -> None:
        """Raise ValueError for weights that are not finite; the message says `otherwise` what happens."""
        try:
            check_finite(self)
        except ValueError as error:
            raise ValueError(f"{otherwise}, the {self.description} is of no use: {error}") from None

    @classmethod
    @isolated_randomness()  # of the weights that a new network has
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, or a plain .pth state dict; the sizes come from the file. In evaluation mode.

        Args:
            path: of the file, or the name of a pretrained model, with which one comes.

        Raises:
            FileNotFoundError: no such file.
            ValueError: truncated, altered, or the weights of something else.
        """
        path = located(path, f"{cls.kind}.safetensors").expanduser()
        state, provenance = cls._read(path)
        held = f"{', '.join(list(state)[:3])}{', ...' * (len(state) > 3)}" if state else "nothing"
        with reading(path, f"holds no weights of the {cls.kind}, but {held}"), no_larger_than(state):
            network = cls.shaped_as(state)
            checkpoint.load_into(network, state, path)
        network.provenance = provenance
        network.check_finite(f"{path} is not taken")
        return network.eval()

    @classmethod
    def _read(cls, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights and provenance."""
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no {cls.kind} {path.absolute()}; make one with `{cls.command}`, or name a pretrained one: "
                f"{', '.join(names())}"
            )
        if path.suffix != ".safetensors":
            return checkpoint.read_state_dict(path), {"file": path.name}
        state, metadata = checkpoint.read(path)
        state = {name: t.float() if t.dtype == torch.float16 else t for name, t in state.items()}
        if metadata.get("kind") != cls.kind:
            raise ValueError(f"{path} holds {metadata.get('kind', 'a model')}, expected {cls.kind}")
        if "sha256" not in metadata:
            raise ValueError(
                f"{path} holds a spiking {cls.kind}, expected the {cls.kind} that scores look through: make one with "
                f"`{cls.command}`"
            )
        if metadata["sha256"] != tensors_sha256(state):
            raise ValueError(f"the weights in {path} were altered after they were saved; fetch or train them again")
        if not isinstance(provenance := metadata.get("provenance"), dict):
            raise ValueError(f"{path} does not say in a known form where its weights come from; train them again")
        return state, provenance

    def extractor(self, recipe: Recipe, device: torch.device | str = "cpu") -> Extractor:
        """The network as a recipe wants it. Works on a copy: this one is not touched."""
        network = as_recipe(deepcopy(self), recipe, device)
        return Extractor(
            name=self.description,
            sha256=self.sha256,
            dims=self.dims,
            device=torch.device(device),
            features=features_of(network, recipe, self.channels, self.size),
            size=self.size,
            data=AUTOENCODERS.get(self.sha256, self.provenance.get("data")),
            notes=self._notes(recipe),
        )

    @classmethod
    def poor(cls, figure: float) -> str | None:
        """What is to be said of a network of this figure, if it is too poor to judge images; None: nothing."""
        raise NotImplementedError

    def quality_notes(self) -> tuple[str, ...]:
        """What makes scores through this network doubtful: how good it is, and how many images it was trained on."""
        figure, images = self.provenance.get(self.figure), self.provenance.get("images")
        reasons = []
        if "data" in self.provenance and figure is None:
            reasons.append("how good it is was never measured")
        elif figure is not None and (why := self.poor(figure)):
            reasons.append(why)
        if images is not None and images < FEW_IMAGES:
            reasons.append(f"it was trained on {images:,} images, fewer than {FEW_IMAGES:,}")
        if not reasons:
            return ()
        return (f"the {self.description} is no sound judge: {'; '.join(reasons)}; do not quote its scores alone",)

    def _notes(self, recipe: Recipe) -> tuple[str, ...]:
        return self._origin_notes(recipe) + self.quality_notes()

    def _origin_notes(self, recipe: Recipe) -> tuple[str, ...]:
        if self.sha256 in AUTOENCODERS:
            return ()
        if recipe.protocol == "fsvae2022":
            return (f"the {self.description} is none that the FSVAE authors published: not for a table beside theirs",)
        if "data" not in self.provenance and "file" in self.provenance:
            return (f"{self.provenance['file']} is no published {self.kind}, and does not say what it was trained on",)
        return ()


@dataclass(frozen=True)
class TrainedNetwork(Network):
    """A small network in the table: given by its file, or as it is."""

    network: type[FeatureNetwork]
    """Its class."""
    about: str

    @property
    def option(self) -> str:
        return self.network.kind

    def load(
        self, given: Any, recipe: Recipe, layers: set[str], device: torch.device, download: bool = False
    ) -> Extractor:
        if given is None:
            kind = self.network.kind
            raise ValueError(
                f"{recipe.score} looks through the network {kind}: give its file, or the name of one that comes with "
                f"the package, {' or '.join(names())} (--networks.{kind}; while training --{kind}), or make one: "
                f"{self.network.command}"
            )
        network = given if isinstance(given, FeatureNetwork) else self.network.load(given)
        return network.extractor(recipe, device)
