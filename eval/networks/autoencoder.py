"""The autoencoder of the Frechet autoencoder distance (FAD), and its training.

Network, d the latent size, C the channels of an S x S image, S = 32 (64 in brackets):

    encoder        Conv3x3 stride 2 - BN - LeakyReLU(0.01), C-32-64-128-256 (-512)      [C, S, S] -> [256 (512), 2, 2]
    latent_layer   Linear                                                               -> [d]
    decoder        mirrored by ConvTranspose3x3 stride 2, then 32-32, ConvTranspose3x3 32-C, tanh
"""

from pathlib import Path
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from fsvae_tcja.core.shared import BatchNorm2d
from fsvae_tcja.data.dataset import LabelledDataset

from ..training import TrainingConfig, mean_over, provenance, train
from .trained import FeatureNetwork

WIDTHS = {32: (32, 64, 128, 256), 64: (32, 64, 128, 256, 512)}
POOR_MSE = 0.1  # the published ANN VAE has .05 on grey images and .105 on CIFAR10, where all is blurred


class Autoencoder(FeatureNetwork):
    """The autoencoder of the FAD. Its parameters are named as in the FSVAE authors' files.

    Args:
        channels: 1 or 3.
        size: 32 or 64.
        latent: length of the feature vector; None takes 64 for grey images and 128 for RGB.
    """

    kind = "autoencoder"
    command = "fsvae-tcja eval train-fad"
    figure = "test_mse"

    def __init__(self, channels: int = 1, size: int = 32, latent: int | None = None) -> None:
        super().__init__(channels, size)
        self.latent = latent or (64 if channels == 1 else 128)
        widths = WIDTHS[size]
        pairs = list(zip((channels, *widths), widths, strict=False))
        self.encoder = nn.Sequential(*(_block(nn.Conv2d(a, b, 3, 2, 1), b) for a, b in pairs))
        self.latent_layer = nn.Linear(widths[-1] * 4, self.latent)
        self.decoder_input = nn.Linear(self.latent, widths[-1] * 4)
        self.decoder = nn.Sequential(*(_block(_up(b, a), a) for a, b in reversed(pairs[1:])))
        self.final_layer = nn.Sequential(
            *_block(_up(widths[0], widths[0]), widths[0]), nn.ConvTranspose2d(widths[0], channels, 3, 1, 1), nn.Tanh()
        )

    @classmethod
    def shaped_as(cls, state: dict[str, Tensor]) -> Self:
        blocks = len({name.split(".")[1] for name in state if name.startswith("encoder.")})
        channels = state["encoder.0.0.weight"].shape[1]
        return cls(channels, 2 ** (blocks + 1), state["latent_layer.weight"].shape[0])

    @classmethod
    def poor(cls, figure: float) -> str | None:
        why = f"its reconstruction error on test images is {figure:.3g}, above {POOR_MSE} (range [-1, 1])"
        return why if figure > POOR_MSE else None

    @property
    def dims(self) -> dict[str, int]:
        return {"latent": self.latent}

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        """Images [N, C, S, S] in [-1, 1] -> "latent" [N, d]."""
        return {"latent": self.encode(images)}

    def encode(self, images: Tensor) -> Tensor:
        """Images [N, C, S, S] in [-1, 1] -> latents [N, d]."""
        return self.latent_layer(self.encoder(images).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, S, S] in [-1, 1] -> reconstructions of the same shape and range."""
        hidden = self.decoder_input(self.encode(images)).view(len(images), -1, 2, 2)
        return self.final_layer(self.decoder(hidden))


def _block(transform: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(transform, BatchNorm2d(channels), nn.LeakyReLU())


def _up(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels_out, 3, 2, 1, output_padding=1)


FULL_TRAINING = TrainingConfig()
"""The published recipe: 150 passes."""

DIGITS_TRAINING = TrainingConfig(epochs=8, batch_size=32)
"""For the 1,500 digits: test error 0.015 after some 12 s on one core."""

MNIST_5K_TRAINING = TrainingConfig(epochs=4, batch_size=32)
"""For 4,000 digits of MNIST: test error 0.034 after some 12 s on one core."""


def training_for(data: str) -> TrainingConfig:
    """How an autoencoder is trained on a data set unless one says otherwise."""
    return {"digits": DIGITS_TRAINING, "mnist-5k": MNIST_5K_TRAINING}.get(data, FULL_TRAINING)


def train_autoencoder(
    dataset: LabelledDataset,
    config: TrainingConfig = FULL_TRAINING,
    *,
    test: LabelledDataset | None = None,
    run: Path | None = None,
    resume: bool = False,
) -> Autoencoder:
    """Train an autoencoder on a data set: mean squared error over pixels in [-1, 1], AdamW.

    The global random state is left alone; on one machine the weights depend on data and `config` alone.

    Args:
        dataset: training images of 32 or 64 pixels.
        config: how.
        test: images whose reconstruction error goes into the provenance.
        run: run folder for metrics and a checkpoint after each epoch; None: nothing is kept.
        resume: go on with the training in `run`.

    Returns:
        the autoencoder in evaluation mode, with its provenance, on the CPU.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM.
    """
    autoencoder = train(
        lambda: Autoencoder(dataset.channels, dataset.size, config.latent),
        lambda network, images, _: F.mse_loss(network(images), images),
        dataset,
        config,
        run=run,
        resume=resume,
    )
    error = None if test is None else reconstruction_mse(autoencoder, test)
    autoencoder.provenance = provenance(dataset, config) | {"test_mse": error}
    return autoencoder


def reconstruction_mse(autoencoder: Autoencoder, dataset: LabelledDataset) -> float:
    """Mean squared error per pixel in [-1, 1], evaluation mode."""
    return mean_over(dataset, lambda images, _: (autoencoder(images) - images).square().mean((1, 2, 3)))
