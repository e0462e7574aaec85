"""The autoencoder of the FAD as a feature extractor of torch-fidelity, so that its whole machinery can use it.

register()
torch_fidelity.calculate_metrics(
    input1=..., input2=..., fid=True, feature_extractor="fad-autoencoder",
    feature_extractor_weights_path="fad.safetensors",
)
"""

import torch_fidelity
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from .networks.autoencoder import Autoencoder
from .networks.network import as_recipe, features_of
from .protocols import STRICT

NAME = "fad-autoencoder"


class AutoencoderFeatures(FeatureExtractorBase):
    """uint8 images [N, C, S, S] -> latents [N, d] of the strict FAD, float64.

    torch-fidelity reads image files as RGB: three equal channels are taken as one by a grey autoencoder.
    """

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object) -> None:
        super().__init__(name, features_list)
        recipe, network = STRICT.recipe("FAD"), Autoencoder.load(feature_extractor_weights_path)
        self.network = as_recipe(network, recipe, "cpu")
        self.features = features_of(network, recipe, network.channels, network.size)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.features(images)["latent"],)

    @staticmethod
    def get_provided_features_list() -> tuple[str]:
        return ("latent",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "latent"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> None:
        return None


def register() -> None:
    """Make the autoencoder known to torch-fidelity as "fad-autoencoder"."""
    if NAME not in FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(NAME, AutoencoderFeatures)
