"""The codes of a data set, in memory, to train a prior on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.dataset import LabelledDataset
from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.modes import evaluated
from .model import FSVAE
from .sample import noise_of, padded

BATCH = 256


class Codes(LabelledDataset):
    """Codes [n, T, L] with the labels of their images: uint8 in {0, 1}, float32 of a latent that is `analog`."""

    def __init__(self, codes: Tensor, images: LabelledDataset) -> None:
        name, split = f"codes of {images.name}", images.split
        super().__init__(name, split, (1, *codes.shape[1:]), images.labels, images.classes, images.class_names)
        self.codes = codes

    def load(self, indices: Sequence[int]) -> Tensor:
        """Codes [B, T, L]."""
        return self.codes[indices]


def codes_of(model: FSVAE, images: LabelledDataset, seed: int = 0) -> Codes:
    """The code of every image, in eval mode; the model's mode is restored.

    Args:
        model: its encoder and the posterior of its latent.
        images: of the model's size.
        seed: random seed of the latent, 0..2^63 - 1. The code of image i depends on (seed, i) alone.
    """
    device = next(model.parameters()).device
    dtype = torch.float32 if model.config.latent.analog else torch.uint8
    codes: list[Tensor] = []
    for pixels, _ in batches(images, BATCH):
        with evaluated(model):
            x, noise = to_float(pixels), noise_of(model, seed, len(codes) * BATCH, len(pixels))
            z, _ = model.latent.infer(model.encoder(padded(x, 0).to(device)), padded(noise, 1))
        codes.append(z[:, : len(pixels)].to(dtype).transpose(0, 1).cpu())
    return Codes(torch.cat(codes), images)
