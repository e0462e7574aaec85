"""The running statistics of a model's batch norms, taken anew."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..core import TDBatchNorm
from ..data.dataset import LabelledDataset
from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.modes import evaluated
from .model import FSVAE
from .sample import noise_of

IMAGES = 8192  # whose statistics are as good as those of all
BATCH = 256


def recalibrate(
    model: FSVAE, images: LabelledDataset, n: int = IMAGES, *, seed: int = 0, drawn: Tensor | None = None
) -> None:
    """Take the running statistics of all batch norms anew: the mean of those of batches of 256 training images.

    In training they are a moving average that lags behind the weights. The weights stay as they are, and a second
    time changes nothing: nothing that is computed here depends on the statistics before.

    Args:
        model: encoder, latent and decoder; its mode is restored.
        images: of the training, at least n, of the model's size.
        n: how many of them, chosen at random; of more than one batch a last smaller one is left out.
        seed: random seed of the choice and of the latent's noise.
        drawn: codes of the prior [T, at least 256, L], which the decoder then sees besides, as many in each batch:
            for a decoder that a last stage has tuned on such codes.

    Raises:
        ValueError: n is not in 2..len(images), or the model takes frames.
    """
    if model.config.input != "image":
        raise ValueError(f"recalibration shows images, found a model with input={model.config.input!r}")
    if not 2 <= n <= len(images):
        raise ValueError(f"n must be in 2..{len(images)}, the images of {images.name} {images.split}; found {n}")
    if drawn is not None and drawn.shape[1] < min(BATCH, n):
        raise ValueError(f"drawn must hold at least {min(BATCH, n)} codes on axis 1, found {list(drawn.shape)}")
    device = next(model.parameters()).device
    whole = n // BATCH * BATCH or n
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:whole]
    with _anew(model), evaluated(model, training=True):
        for i, (pixels, labels) in enumerate(batches(images, BATCH, order=chosen)):
            noise = noise_of(model, seed, i * BATCH, len(labels))
            spikes = model.encoder(to_float(pixels).to(device))
            z = model.latent.calibrate(spikes, noise, labels)
            if drawn is not None:
                z = torch.cat([z, drawn.roll(-i * BATCH, 1)[:, : len(labels)].to(z)], dim=1)
            model.decoder(z)


@contextmanager
def _anew(model: FSVAE) -> Iterator[None]:
    """Inside, the statistics of every norm are the mean over the batches that it has seen there."""
    norms = [module for module in model.modules() if isinstance(module, TDBatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.num_batches_tracked.zero_()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
