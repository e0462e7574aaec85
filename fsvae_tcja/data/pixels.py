"""The two ranges of an image, uint8 and [-1, 1], and its mirror image."""

import torch
from torch import Tensor

from ..utils.shares import drawn


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1]: x / 127.5 - 1."""
    if images.dtype != torch.uint8:
        raise ValueError(f"to_float expects uint8 images in 0..255, found {images.dtype}")
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8: round((x + 1) * 127.5). The inverse of `to_float`, exactly.

    Raises:
        ValueError: not floating point, not finite, or more than half a grey level outside [-1, 1].
    """
    if not images.is_floating_point():
        raise ValueError(f"to_uint8 expects floating point images in [-1, 1], found {images.dtype}")
    levels = ((images.float() + 1) * 127.5).round()
    if not ((levels >= 0) & (levels <= 255)).all():
        raise ValueError(
            f"to_uint8 expects images in [-1, 1], found values from {images.min():.4g} to {images.max():.4g}"
        )
    return levels.to(torch.uint8)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image of [B, C, H, W] left to right with probability 1/2. For training data only."""
    device = generator.device
    chance = drawn(lambda n: torch.rand(n, 1, 1, 1, generator=generator, device=device), len(images), generator)
    return torch.where((chance < 0.5).to(images.device), images.flip(-1), images)
