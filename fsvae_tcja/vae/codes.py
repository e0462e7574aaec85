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
    """Codes uint8 [n, T, L] in {0, 1}, of an analog latent float32, with the labels of their images."""

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
        seed: random seed of the latent. The code of image i depends on (seed, i) alone.
    """
    device = next(model.parameters()).device
    kept = torch.float32 if model.config.latent.analog else torch.uint8
    codes: list[Tensor] = []
    for pixels, _ in batches(images, BATCH):
        with evaluated(model):
            x, noise = to_float(pixels), noise_of(model, seed, len(codes) * BATCH, len(pixels))
            z, _ = model.latent.infer(model.encoder(padded(x, 0).to(device)), padded(noise, 1))
        codes.append(z[:, : len(pixels)].to(kept).transpose(0, 1).cpu())
    return Codes(torch.cat(codes), images)
