"""What every network that scores look through has: an option that gives its file, and how it is loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from fsvae_tcja.utils.spelling import choose

from ..features import Extractor
from ..preprocessing import BATCH_NORM, PRECISION, preprocessing

if TYPE_CHECKING:
    from ..protocols import Recipe


N = TypeVar("N", bound=nn.Module)


class Network(ABC):
    """A kind of network. A new one is a class in a file of its own and a line in NETWORKS."""

    about: str
    """What that option takes, in a sentence."""
    published: ClassVar[bool] = False
    """Whether its weights are published, and looked for where they usually lie if they are not given."""

    @property
    @abstractmethod
    def option(self) -> str:
        """Name of the option --networks.NAME, and of the keyword of `Networks`, that gives its weights."""

    @abstractmethod
    def load(
        self, given: Any, recipe: Recipe, layers: set[str], device: torch.device, download: bool = False
    ) -> Extractor:
        """The network as a recipe wants it.

        Args:
            given: what the caller gave for it, None for nothing.
            recipe: says what happens to pixels, batch norms and precision.
            layers: what is computed, in one pass.
            device: where to compute.
            download: whether published weights may be fetched.

        Raises:
            FileNotFoundError: no weights.
            ValueError: nothing given, or weights of something else.
        """


class LayeredNetwork(nn.Module):
    """A network of which some layers are features."""

    def layers(self, pixels: Tensor) -> dict[str, Tensor]:
        """Pixels [B, C, S, S] as the recipe wants them -> features [B, d] by layer."""
        raise NotImplementedError


def check_finite(network: nn.Module) -> None:
    """Raise ValueError for a network whose weights are not finite."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"its weights hold NaN or infinite values ({name}): its training diverged, train it anew")


def as_recipe(network: N, recipe: Recipe, device: torch.device | str) -> N:
    """Change a network to the precision and the batch norms of a recipe, in evaluation mode, without gradients.

    Raises:
        ValueError: weights that are not finite.
    """
    check_finite(network)
    dtype = choose(PRECISION, recipe.precision, "precision")
    network.eval().requires_grad_(False).to(device, dtype)
    choose(BATCH_NORM, recipe.batch_norm, "batch norm")(network)
    return network


def features_of(
    network: LayeredNetwork, recipe: Recipe, channels: int, size: int | None, part: int | None = None
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Canonical images [B, C, H, W] -> features [B, d] by layer, through the pixels of a recipe.

    Args:
        network: already as the recipe wants it.
        recipe: says what happens to the pixels.
        channels, size: what the network takes, see `preprocessing`.
        part: images at once; None: all that are given.
    """
    pixels = preprocessing(recipe, channels, size)

    def features(images: Tensor) -> dict[str, Tensor]:
        parts = [network.layers(pixels(some)) for some in images.split(part or max(len(images), 1))]
        return {layer: torch.cat([one[layer] for one in parts]) for layer in parts[0]}

    return features
