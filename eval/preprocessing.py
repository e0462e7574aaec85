"""What becomes of an image before a network sees it. A recipe names an entry of each table, and that is what runs.

grey -> quantise -> pixels of the type and range that are resized -> resize -> normalise
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvae_tcja.utils.spelling import choose

from .images import as_float, as_grey, as_levels, as_rgb, as_uint8, check_images

if TYPE_CHECKING:
    from .protocols import Recipe

Resize = Callable[[Tensor, float, float], Tensor]
"""(pixels [B, C, H, W], low, high: their range) -> pixels [B, C, size, size]."""


@dataclass(frozen=True)
class InputRange:
    """The range of pixels that a network sees."""

    low: float
    high: float
    """The range in which images are resized."""
    pixels: Callable[[Tensor, torch.dtype], Tensor]
    """Canonical images -> pixels of that type, in low..high."""
    normalise: Callable[[Tensor], Tensor] = lambda x: x
    """Resized pixels [B, C, S, S] -> what the network sees."""


def tensorflow1_bilinear(size: int) -> Resize:
    """TensorFlow 1's bilinear, which takes the corner of a pixel for its middle: the one of torch-fidelity."""

    def resize(images: Tensor, low: float, high: float) -> Tensor:
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        return interpolate_bilinear_2d_like_tensorflow1x(images, size=(size, size), align_corners=False)

    return resize


def bilinear(size: int) -> Resize:
    """PyTorch's bilinear, corners not aligned, without antialiasing."""

    def resize(images: Tensor, low: float, high: float) -> Tensor:
        return F.interpolate(images, (size, size), mode="bilinear", align_corners=False)

    return resize


def pillow_bicubic(size: int) -> Resize:
    """Pillow's BICUBIC on images of mode F, cut to low..high; clean-fid has it."""

    def resize(images: Tensor, low: float, high: float) -> Tensor:
        return F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(low, high)

    return resize


def _imagenet(images: Tensor) -> Tensor:
    """RGB in 0..255 -> mean 0 and deviation 1 over ImageNet, by the figures of torchvision."""
    of_rgb = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    mean, deviation = (images.new_tensor([255 * v for v in values]).view(3, 1, 1) for values in of_rgb)
    return (images - mean) / deviation


def _without_running_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # without running statistics it uses those of its batch
            module.running_mean = module.running_var = None


GREY: dict[str, Callable[[Tensor, int], Tensor]] = {
    "as it is": lambda images, channels: as_grey(images) if channels == 1 else images,
    "repeated to RGB": lambda images, channels: as_rgb(images),
}
"""Functions (canonical images, channels of the network) -> canonical images."""

QUANTISE: dict[bool, Callable[[Tensor], Tensor]] = {True: as_uint8, False: lambda images: images}

INPUT_RANGE = {
    "-1..1": InputRange(-1, 1, as_float),
    "0..255, not normalised": InputRange(0, 255, as_levels),
    "0..255, then (x - 128) / 128": InputRange(0, 255, as_levels, lambda x: (x - 128) / 128),
    "0..255, then (x - 127) / 128": InputRange(0, 255, as_levels, lambda x: (x - 127) / 128),
    "ImageNet mean 0, deviation 1": InputRange(0, 255, as_levels, _imagenet),
}

RESIZE: dict[str, Resize] = {
    "none": lambda images, low, high: images,
    "TensorFlow 1 bilinear to 299": tensorflow1_bilinear(299),
    "TensorFlow 1 bilinear to 224": tensorflow1_bilinear(224),
    "bilinear to 299, align_corners off": bilinear(299),
    "Pillow bicubic to 299, antialiased, floating point": pillow_bicubic(299),
    "Pillow bicubic to 224, antialiased, floating point": pillow_bicubic(224),
}

BATCH_NORM: dict[str, Callable[[nn.Module], None]] = {
    "running": lambda network: None,
    "batch": _without_running_statistics,
}
"""Functions that change a network in evaluation mode."""

PRECISION = {"float32": torch.float32, "float64": torch.float64}


def preprocessing(recipe: Recipe, channels: int, size: int | None) -> Callable[[Tensor], Tensor]:
    """What turns canonical images [B, 1 or 3, H, W] into what the network of a recipe sees.

    Args:
        recipe: names what is done.
        channels: of the images that the network takes.
        size: height and width that it takes; None: any.

    Returns:
        a function; it raises ValueError for images of other channels or, resized, of another size. Its result has one
        memory layout whatever the source's: float32 sums in another order move a covariance by 3e-5.

    Raises:
        ValueError: a name that is in no table.
    """
    grey = choose(GREY, recipe.grey, "treatment of grey images")
    quantise = QUANTISE[recipe.quantise]
    scale = choose(INPUT_RANGE, recipe.input_range, "input range")
    resize = choose(RESIZE, recipe.resize, "resize")
    dtype = choose(PRECISION, recipe.precision, "precision")

    def pixels(images: Tensor) -> Tensor:
        images = scale.pixels(quantise(grey(images, channels)), dtype)
        check_images(images, channels)
        images = resize(images, scale.low, scale.high)
        check_images(images, size=size)
        return scale.normalise(images).clone(memory_format=torch.contiguous_format)

    return pixels
