"""Reconstructing images of a data set, one stream of random numbers per image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.dataset import LabelledDataset
from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.modes import evaluated
from .sample import noise_of, padded

if TYPE_CHECKING:
    from .model import FSVAE


def reconstruct(
    model: FSVAE, images: LabelledDataset, n: int, seed: int = 0, *, batch_size: int = 64
) -> Iterator[tuple[Tensor, Tensor]]:
    """Reconstruct the first n images of a data set, batch by batch.

    Args:
        model: runs in eval mode; its mode is restored.
        images: of the model's size.
        n: how many, 1 <= n <= len(images).
        seed: random seed of the latent, in 0..2^63 - 1. What image i becomes depends on (seed, i) alone.
        batch_size: images per pass.

    Yields:
        originals and reconstructions [B, C, H, W] in [-1, 1], on the CPU.

    Raises:
        ValueError: n is not in 1..len(images), the seed is not in 0..2^63 - 1, or the images are of another kind than
            the model's.
    """
    check_taken(model, images, n)
    device = next(model.parameters()).device
    first = 0
    for pixels, _ in batches(images, batch_size, order=torch.arange(n)):
        x = to_float(pixels)
        noise = noise_of(model, seed, first, len(x))
        with evaluated(model):
            recon = model(padded(x, 0).to(device), noise=padded(noise, 1)).recon[: len(x)].cpu()
        yield x, recon
        first += len(x)


def check_taken(model: FSVAE, images: LabelledDataset, n: int) -> None:
    """Raise a ValueError unless there are n images, of as many channels as the model takes, and it takes images."""
    if model.config.input != "image":
        raise ValueError(
            f"the model takes {model.config.input}, {images.name} gives images; run it from Python: model(frames)"
        )
    if images.channels != model.config.in_channels:
        raise ValueError(
            f"the model takes {model.config.in_channels} channel(s), {images.name} gives {images.channels}; "
            "take images of the kind that it was trained on"
        )
    if not 1 <= n <= len(images):
        raise ValueError(f"n must be in 1..{len(images)}, the images of {images.name} {images.split}; found {n}")
