"""Networks with published weights, trained on ImageNet: what they share, and the two Inceptions."""

from __future__ import annotations

import io
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from fsvae_tcja.runtime import checkpoint

from ..features import Extractor
from ..randomness import isolated_randomness
from .network import LayeredNetwork, Network, as_recipe, features_of
from .weights import Weights, WeightsFile, not_published, read_weights

if TYPE_CHECKING:
    from ..protocols import Recipe

PART = 64  # images at once in a network of this size


class ImageNetwork(Network):
    """A network that takes RGB images of one size."""

    published = True
    weights: ClassVar[WeightsFile]
    """What is published."""
    size: ClassVar[int]
    """Height and width of its images."""
    dims: ClassVar[dict[str, int]]
    """Its layers and the lengths of their features."""

    @property
    def option(self) -> str:
        return self.weights.option

    @abstractmethod
    def build(self, weights: Weights, layers: set[str]) -> LayeredNetwork:
        """The network with these weights, to compute these layers.

        Raises:
            ValueError: weights of something else; what is found is enough for a message.
        """

    @isolated_randomness()
    def load(
        self, given: Any, recipe: Recipe, layers: set[str], device: torch.device, download: bool = False
    ) -> Extractor:
        found = read_weights(self.weights, given, download)
        path, name = found.file, self.weights.network
        try:
            network = as_recipe(self.build(found, layers), recipe, device)
        except (RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} does not hold the weights of the {name} network: {why}") from error
        published = found.sha256 == self.weights.sha256
        return Extractor(
            name=f"{name} weights" if published else f"{name} with {path.name}",
            sha256=found.sha256,
            dims={layer: self.dims[layer] for layer in layers},
            device=torch.device(device),
            features=features_of(network, recipe, 3, self.size, PART),
            notes=() if published else (not_published(path, self.weights),),
        )


class Inception2015(ImageNetwork):
    """TensorFlow's network of 2015-12-05 with 1,008 classes, which defines FID and KID; torch-fidelity's port."""

    about = "Inception 2015-12-05; None: $FSVAE_TCJA_INCEPTION, else torch's cache."
    weights = WeightsFile(
        "inception 2015-12-05",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "FSVAE_TCJA_INCEPTION",
        "inception",
    )
    size = 299
    dims: ClassVar = {"64": 64, "192": 192, "768": 768, "2048": 2048, "logits_unbiased": 1008}

    def build(self, weights: Weights, layers: set[str]) -> LayeredNetwork:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        tensors = io.BytesIO()  # it opens what it is given and unpickles freely: it gets the checked tensors alone
        torch.save(weights.state, tensors)
        tensors.seek(0)
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=tensors, verbose=False
        )
        return _Trunk(network, layers)


class _Trunk(LayeredNetwork):
    """torch-fidelity's network without its resize and its normalisation, up to the last layer that is wanted."""

    TRUNK = (
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
        *("MaxPool_2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        *("Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
    )
    POOLED: ClassVar = {"MaxPool_1": "64", "MaxPool_2": "192", "Mixed_6e": "768", "AvgPool": "2048"}
    """Layers and the features that are their mean over space."""

    def __init__(self, network: nn.Module, wanted: set[str]) -> None:
        super().__init__()
        self.network = network
        self.wanted = wanted

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """Pixels [B, 3, 299, 299], (x - 128) / 128 of 0..255 -> features [B, d] by layer."""
        features: dict[str, Tensor] = {}
        for name in self.TRUNK:
            x = getattr(self.network, name)(x)
            if name in self.POOLED:
                features[self.POOLED[name]] = x.mean((2, 3))
                if features.keys() >= self.wanted:
                    break
        else:
            classes = self.network.fc
            assert isinstance(classes, nn.Linear)
            features["logits_unbiased"] = features["2048"].mm(classes.weight.T)
        return {layer: features[layer] for layer in self.wanted}


class InceptionTorchvision(ImageNetwork):
    """torchvision's Inception, which the FSVAE authors took for their Inception Score."""

    about = "torchvision's Inception; None: $FSVAE_TCJA_INCEPTION_TORCHVISION, else torch's cache."
    weights = WeightsFile(
        "inception torchvision",
        "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        "0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
        "FSVAE_TCJA_INCEPTION_TORCHVISION",
        "inception_torchvision",
    )
    size = 299
    dims: ClassVar = {"logits": 1000}

    def build(self, weights: Weights, layers: set[str]) -> LayeredNetwork:
        from torchvision.models import inception_v3

        network = inception_v3(weights=None, transform_input=False, init_weights=False)
        checkpoint.load_into(network, weights.state, weights.file)
        return _Logits(network)


class _Logits(LayeredNetwork):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """Pixels [B, 3, 299, 299] -> "logits" [B, 1000]."""
        return {"logits": self.network(x)}
