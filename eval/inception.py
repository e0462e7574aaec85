"""The large networks trained on ImageNet: torch-fidelity's, the same behind Pillow's resize, and torchvision's."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import create_feature_extractor

from fsvae_tcja.runtime import checkpoint

from .features import Extractor
from .images import as_float, as_rgb, as_uint8
from .protocols import INCEPTION_LAYERS, Recipe
from .randomness import isolated_randomness
from .weights import WEIGHTS, find_weights, not_published

PART = 64  # images at once in a network of this size
TRUNK = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
)
POOLED = {"MaxPool_1": "64", "MaxPool_2": "192", "Mixed_6e": "768", "AvgPool": "2048"}
"""Layers of torch-fidelity's network and the features that are their mean over space."""
FIDELITY_NAMES = {"inception 2015-12-05": "inception-v3-compat", "vgg16": "vgg16"}
DIMS = INCEPTION_LAYERS | {"logits_unbiased": 1008, "fc2_relu": 4096}


@isolated_randomness()
def imagenet_extractor(
    recipe: Recipe,
    layers: set[str],
    *,
    weights: str | Path | None = None,
    device: torch.device | str = "cpu",
    download: bool = False,
) -> Extractor:
    """The extractor of a recipe that looks through a network trained on ImageNet.

    Args:
        recipe: says which network and which resize.
        layers: of that network, to be computed in one pass.
        weights: see `find_weights`.
        device: where to compute.
        download: see `find_weights`.

    Raises:
        FileNotFoundError: no weights.
        ValueError: weights that are truncated or of something else.
    """
    path, sha256 = find_weights(recipe.extractor, weights, download)
    build = _torchvision if recipe.extractor == "inception torchvision" else _fidelity
    network = build(recipe, sorted(layers), path).to(device)

    def features(images: Tensor) -> dict[str, Tensor]:
        parts = [network(as_rgb(part)) for part in images.split(PART)]
        return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}

    published = sha256.startswith(WEIGHTS[recipe.extractor].digest)
    name = f"{recipe.extractor} weights" if published else f"{recipe.extractor} with {path.name}"
    notes = () if published else (not_published(path, recipe.extractor),)
    dims = {"logits": 1000} if recipe.extractor == "inception torchvision" else {layer: DIMS[layer] for layer in layers}
    return Extractor(name, sha256, dims, None, None, torch.device(device), features, notes)


def _fidelity(recipe: Recipe, layers: list[str], path: Path) -> nn.Module:
    """torch-fidelity's own network and preprocessing, or its network behind Pillow's resize."""
    try:
        network = create_feature_extractor(
            FIDELITY_NAMES[recipe.extractor], layers, cuda=False, feature_extractor_weights_path=path, verbose=False
        )
    except RuntimeError as error:
        raise _wrong_weights(path, recipe, error) from error
    return BehindPillowResize(network) if recipe.resize.startswith("Pillow") else _AsItComes(network)


class _AsItComes(nn.Module):
    """torch-fidelity's extractor: canonical RGB images -> features by layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.network.convert_features_tuple_to_dict(self.network(as_uint8(images)))


class BehindPillowResize(nn.Module):
    """The 2015-12-05 Inception network behind a bicubic resize without rounding, as clean-fid has it."""

    def __init__(self, network: FeatureExtractorInceptionV3) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (pillow_bicubic(as_0_to_255(images), 299) - 128) / 128
        features = {}
        for name in TRUNK:
            x = getattr(self.network, name)(x)
            if name in POOLED:
                features[POOLED[name]] = x.mean((2, 3))
        return features


def as_0_to_255(images: Tensor) -> Tensor:
    """Canonical images -> floating point in 0..255, not rounded."""
    return images.float() if images.dtype == torch.uint8 else (as_float(images) + 1) * 127.5


def pillow_bicubic(images: Tensor, size: int) -> Tensor:
    """[B, C, H, W] in 0..255 -> [B, C, size, size], as Pillow's BICUBIC does with images of mode F; cut to 0..255."""
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 255)


def _torchvision(recipe: Recipe, layers: list[str], path: Path) -> nn.Module:
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, transform_input=False, init_weights=False)
    try:
        checkpoint.load_into(network, checkpoint.read_state_dict(path), path)
    except ValueError as error:
        raise _wrong_weights(path, recipe, error) from error
    return _Logits(network.eval().requires_grad_(False))


class _Logits(nn.Module):
    """torchvision's Inception on 0..255, bilinear to 299, without normalisation."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = F.interpolate(as_0_to_255(images), (299, 299), mode="bilinear", align_corners=False)
        return {"logits": self.network(x)}


def _wrong_weights(path: Path, recipe: Recipe, error: Exception) -> ValueError:
    return ValueError(
        f"{path} does not hold the weights of the {recipe.extractor} network: {' '.join(str(error).split())[:200]}"
    )
