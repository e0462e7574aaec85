"""Drawing images from a trained model, one seed per image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..runtime.modes import evaluated
from .philox import integers

if TYPE_CHECKING:
    from .model import FSVAE

# A pass is padded to whole blocks of images: for one or two images the libraries sum in another order, one ulp moves a
# membrane over its threshold, and the image would depend on the batch size.
BLOCK = 16


def padded(x: Tensor, axis: int) -> Tensor:
    """x with zeros (picks: 0, images: grey) behind, up to whole blocks of images along `axis`."""
    missing = -x.shape[axis] % BLOCK
    return torch.cat([x, x.new_zeros(*x.shape[:axis], missing, *x.shape[axis + 1 :])], dim=axis)


def picks(model: FSVAE, seed: int, first: int, n: int) -> Tensor:
    """The random picks [T, n, L] of images first..first+n-1, on the model's device: image i owns stream (seed, i)."""
    c = model.config
    drawn = integers(c.k, seed, first, n, c.T * c.latent, next(model.parameters()).device)
    return drawn.view(n, c.T, c.latent).transpose(0, 1)


def stream(
    model: FSVAE, n: int, seed: int = 0, *, batch_size: int = 64, choice: Tensor | None = None, first: int = 0
) -> Iterator[Tensor]:
    """`sample` batch by batch: images [B, C, H, W] in [-1, 1] on the CPU, B <= batch_size."""
    if n < 1 or batch_size < 1 or not 0 <= seed < 2**63:
        raise ValueError(
            f"n and batch_size must be >= 1 and seed in 0..2^63 - 1, found n={n}, batch_size={batch_size}, seed={seed}"
        )
    if choice is not None:
        choice = model.check_choice(choice, n)
    return _stream(model, n, seed, batch_size, choice, first)


def _stream(model: FSVAE, n: int, seed: int, batch_size: int, choice: Tensor | None, first: int) -> Iterator[Tensor]:
    device = next(model.parameters()).device
    for start in range(0, n, batch_size):
        b = min(batch_size, n - start)
        drawn = picks(model, seed, first + start, b) if choice is None else choice[:, start : start + b]
        with evaluated(model):
            images = model.decode(model.prior.sample(padded(drawn, 1).to(device)))[:b].cpu()
        yield images


def sample(
    model: FSVAE, n: int, seed: int = 0, *, batch_size: int = 64, choice: Tensor | None = None, first: int = 0
) -> Tensor:
    """Draw images from the prior, by stepping: O(T) work.

    Args:
        model: runs in eval mode, by its running statistics; its mode is restored afterwards.
        n: how many images.
        seed: owner of the randomness. Image i depends on (seed, i) alone, not on n or batch_size: on the CPU bit for
            bit; on a GPU the libraries may sum in another order for another batch.
        batch_size: images per pass; costs memory, changes nothing else.
        choice: picks [T, n, L] in 0..k-1 that replay a run, instead of the seed's.
        first: number of the first image.

    Returns:
        images [n, C, H, W] in [-1, 1], on the CPU.
    """
    return torch.cat(list(stream(model, n, seed, batch_size=batch_size, choice=choice, first=first)))
