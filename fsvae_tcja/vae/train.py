"""Training the FSVAE."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import SpikingLayer
from ..data.image_dataset import ImageDataset
from ..data.pixels import random_flip, to_float
from ..runtime.config import TrainerConfig
from ..runtime.pictures import save_curves, save_grid, save_pairs
from ..runtime.run import RunFolder
from ..utils.configuration import to_dict
from .checkpoint import KIND
from .config import FSVAEConfig
from .losses import UNITS, Distance, losses
from .model import FSVAE
from .reconstruct import reconstruct
from .sample import sample

SCHEDULED_FIRST, SCHEDULED_LAST = 0.1, 0.3  # probability of scheduled sampling over the epochs
TEST_IMAGES = 1000  # first images of the test split, for the reconstruction error of every epoch


@dataclass(frozen=True)
class TrainConfig(TrainerConfig):
    """A training run of the FSVAE. The defaults are the published recipe."""

    model: FSVAEConfig = field(default_factory=FSVAEConfig)
    """The model."""
    distance: Distance = "mmd"
    """Distance between posterior and prior in the loss."""
    scheduled_sampling: bool = True
    """Feed the prior its own predictions, with a probability that rises from 0.1 to 0.3 over the epochs."""
    flip: bool = False
    """Flip training images left to right, each with probability 0.5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance not in get_args(Distance):
            raise ValueError(f"distance must be one of {list(get_args(Distance))}, found {self.distance!r}")

    def tied_to_length(self) -> list[str]:
        return super().tied_to_length() + ["the probability of scheduled sampling"] * self.scheduled_sampling


class FSVAETask:
    """The FSVAE as the training loop sees it.

    Args:
        config: the run.
        train: training images.
        test: images for the reconstruction error and its picture.
        score: called after each epoch with its number, from 1, and the model; what it returns is logged.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: ImageDataset,
        test: ImageDataset,
        score: Callable[[int, FSVAE], dict[str, float]] | None = None,
    ) -> None:
        wanted = (config.model.in_channels, config.model.image_size)
        if (train.channels, train.size) != wanted:
            raise ValueError(
                f"the model takes {wanted[0]} channel(s) of {wanted[1]} pixels, {train.name} gives {train.channels} of "
                f"{train.size}; set --model.in-channels {train.channels} --model.image-size {train.size}"
            )
        self.config = config
        self.data = train
        self.test = test
        self.score = score
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = FSVAE(config.model)
        for layer in self.model.modules():
            if isinstance(layer, SpikingLayer):
                layer.checkpoint = config.save_memory
        if config.compile:  # the latent steps through time by itself
            self.model.encoder.compile()
            self.model.decoder.compile()

    def losses(self, images: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """images uint8 [B, C, H, W] -> {"loss", "mse", the distance}."""
        if self.config.flip:
            images = random_flip(images, generator)
        x = to_float(images)
        out = self.model(x, generator=generator, scheduled=self._scheduled(epoch))
        with torch.autocast(x.device.type, enabled=False):
            return losses(x, out.recon.float(), out.q, out.p, self.config.distance)

    def _scheduled(self, epoch: int) -> float:
        if not self.config.scheduled_sampling:
            return 0.0
        return SCHEDULED_FIRST + (SCHEDULED_LAST - SCHEDULED_FIRST) * epoch / self.config.total_epochs(len(self.data))

    @torch.no_grad()
    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        """Reconstruction error on the first test images; a grid of samples and one of reconstructions."""
        mse, shown = self._reconstruct()
        save_pairs(*shown, run.pictures / f"epoch-{epoch:03d}-reconstructions.png")
        drawn = sample(self.model, 64, self.config.seed)
        save_grid(drawn, run.pictures / f"epoch-{epoch:03d}-samples.png", columns=8)
        rows, found = run.read_metrics(), {"test_mse": mse} | (self.score(epoch, self.model) if self.score else {})
        save_curves([*rows, {"step": rows[-1]["step"], **found}], run.pictures / "curves.png", units=UNITS)
        return found

    def _reconstruct(self) -> tuple[float, tuple[Tensor, Tensor]]:
        n = min(TEST_IMAGES, len(self.test))
        error, shown = 0.0, None
        for x, recon in reconstruct(self.model, self.test, n, self.config.seed):
            error += F.mse_loss(recon, x, reduction="sum").item()
            shown = shown or (x[:32], recon[:32])
        return error / (n * x[0].numel()), shown

    def metadata(self) -> dict[str, Any]:
        """Kind and configuration, for the checkpoint."""
        return {"kind": KIND, "config": to_dict(self.config.model), "data": self.config.data}
