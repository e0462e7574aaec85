"""The networks that scores look through, by the names that recipes use: a file and a line here for each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from fsvae_tcja.utils.spelling import choose

from ..features import Extractor
from .autoencoder import Autoencoder
from .classifier import Classifier
from .efficientnet import EfficientNetLite0
from .imagenet import Inception2015, InceptionTorchvision
from .network import Network
from .trained import TrainedNetwork
from .vgg16 import VGG16

if TYPE_CHECKING:
    from ..protocols import Protocol, Recipe

COME_WITH_US = "the name of one that comes with the package, such as mnist"
NETWORKS: dict[str, Network] = {
    "autoencoder": TrainedNetwork(
        Autoencoder, f"Of the FAD: what `train-fad` wrote, a .pth of the FSVAE authors, or {COME_WITH_US}."
    ),
    "classifier": TrainedNetwork(
        Classifier, f"Of the domain scores: what `train-classifier` wrote, or {COME_WITH_US}."
    ),
    "inception 2015-12-05": Inception2015(),
    "inception torchvision": InceptionTorchvision(),
    "vgg16": VGG16(),
    "efficientnet-lite0": EfficientNetLite0(),
}


class Networks:
    """The networks that are at hand. Each is loaded once, however often it is used.

    Args:
        download: fetch published weights that are nowhere.
        given: by the `option` of a network in NETWORKS: the file of its weights, or (autoencoder, classifier) the
            network itself, or an `Extractor`. None is as if it were not said.

    Raises:
        ValueError: an option that no network has.
    """

    def __init__(self, *, download: bool = False, **given: Any) -> None:
        options = {network.option: network for network in NETWORKS.values()}
        for name in given:
            choose(options, name, "network")
        self.given = {name: value for name, value in given.items() if value is not None}
        self.download = download
        self._loaded: dict[Any, Extractor] = {}

    def load(self, recipes: Sequence["Recipe"], device: torch.device | str = "cpu") -> list[Extractor]:
        """One extractor per recipe; recipes that differ in the layer only share theirs.

        Raises:
            FileNotFoundError: weights that are not there.
            ValueError: a network that was not given, or weights of something else.
        """
        layers: dict[Any, set[str]] = {}
        for recipe in recipes:
            layers.setdefault(_but_for_the_layer(recipe), set()).add(recipe.layer)
        return [self._load(recipe, layers[_but_for_the_layer(recipe)], torch.device(device)) for recipe in recipes]

    def _load(self, recipe: "Recipe", layers: set[str], device: torch.device) -> Extractor:
        network = choose(NETWORKS, recipe.extractor, "network")
        given = self.given.get(network.option)
        if isinstance(given, Extractor):
            if recipe.layer not in given.dims:
                raise ValueError(
                    f"{recipe.score} takes the layer {recipe.layer} of the network {network.option}, found an "
                    f"extractor with {', '.join(given.dims)}"
                )
            return given
        if recipe.precision == "float64" and device.type == "mps":
            raise ValueError(f"protocol {recipe.protocol} computes in float64, which MPS does not have; use the CPU")
        key = (_but_for_the_layer(recipe), frozenset(layers), device)
        if key not in self._loaded:
            self._loaded[key] = network.load(given, recipe, layers, device, self.download)
        return self._loaded[key]

    def usual_scores(self, protocol: "Protocol", compared: bool = True) -> tuple[str, ...]:
        """The scores whose networks were given (published weights lie where they lie), else the protocol's default.

        With nothing to compare with (compared=False), of a network that has scores which need nothing, these alone.
        """
        given = {name for name, kind in NETWORKS.items() if not kind.published and kind.option in self.given}
        without = {recipe.extractor for recipe in protocol.recipes if not recipe.compares}
        usual = (
            recipe.score
            for recipe in protocol.recipes
            if recipe.extractor in given and (compared or not recipe.compares or recipe.extractor not in without)
        )
        return tuple(usual) or protocol.default


def _but_for_the_layer(recipe: "Recipe") -> tuple[Any, ...]:
    """What makes a network's features, hashable; the protocol and the score go into notes and messages."""
    extraction = {name: value for name, value in recipe.extraction().items() if name != "layer"}
    return (recipe.protocol, *extraction.values())
