"""torchvision's VGG16, as torch-fidelity cuts it for precision and recall."""

from typing import ClassVar

from torch import Tensor, nn

from fsvae_tcja.runtime import checkpoint

from .imagenet import ImageNetwork
from .network import LayeredNetwork
from .weights import Weights, WeightsFile


class VGG16(ImageNetwork):
    """VGG16 up to its second fully connected layer."""

    about = "torchvision's VGG16; None: $FSVAE_TCJA_VGG16, else torch's cache."
    weights = WeightsFile(
        "vgg16",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "FSVAE_TCJA_VGG16",
        "vgg16",
    )
    size = 224
    dims: ClassVar = {"fc2": 4096, "fc2_relu": 4096}

    def build(self, weights: Weights, layers: set[str]) -> LayeredNetwork:
        from torchvision.models import vgg16

        network = vgg16(weights=None, init_weights=False)
        checkpoint.load_into(network, weights.state, weights.file)
        network.classifier = network.classifier[:4]  # up to fc2, before its rectifier
        return _SecondLayer(network)


class _SecondLayer(LayeredNetwork):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """Pixels [B, 3, 224, 224] -> "fc2" [B, 4096] and the same rectified."""
        fc2 = self.network(x)
        return {"fc2": fc2, "fc2_relu": fc2.relu()}
