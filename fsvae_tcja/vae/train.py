"""Training the FSVAE."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import LabelledDataset
from ..data.pixels import random_flip, to_float
from ..runtime.build import build
from ..runtime.config import TrainerConfig
from ..runtime.pictures import save_curves, save_grid, save_pairs
from ..runtime.run import RunFolder
from ..utils.configuration import to_dict
from .checkpoint import KIND, check_rebuildable
from .config import FSVAEConfig
from .model import FSVAE
from .reconstruct import reconstruct
from .sample import sample
from .upgrade import upgrade_training

TEST_IMAGES = 1000  # first images of the test split, for the reconstruction error of every epoch


@dataclass(frozen=True)
class TrainConfig(TrainerConfig):
    """A training run of the FSVAE. The defaults are the published recipe."""

    model: FSVAEConfig = field(default_factory=FSVAEConfig)
    """The model."""
    flip: bool = False
    """Flip training images left to right, each with probability 0.5."""

    @staticmethod
    def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
        """Plain data of any version in today's form."""
        return upgrade_training(data)

    def tied_to_length(self) -> list[str]:
        return super().tied_to_length() + self.model.latent.tied_to_length()


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
        train: LabelledDataset,
        test: LabelledDataset,
        score: Callable[[int, FSVAE], dict[str, float]] | None = None,
    ) -> None:
        if config.model.input != "image":
            raise ValueError(
                f"this task trains on images, found a model with input={config.model.input!r}; train that one from "
                "Python: model.losses(frames, model(frames))"
            )
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
        self.model = build(lambda: FSVAE(config.model), config)
        if config.compile:  # the latent steps through time by itself
            self.model.encoder.compile()
            self.model.decoder.compile()

    def losses(self, images: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """images uint8 [B, C, H, W] -> {"loss", "mse", the terms of the latent}; epoch counted from 0."""
        if self.config.flip:
            images = random_flip(images, generator)
        x = to_float(images)
        out = self.model(x, generator=generator)
        return self.model.losses(x, out, progress=epoch / self.config.total_epochs(len(self.data)), generator=generator)

    @torch.no_grad()
    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        """Reconstruction error on the first test images; a grid of samples and one of reconstructions."""
        mse, shown = self._reconstruct()
        save_pairs(*shown, run.pictures / f"epoch-{epoch:03d}-reconstructions.png")
        drawn = sample(self.model, 64, self.config.seed)
        save_grid(drawn, run.pictures / f"epoch-{epoch:03d}-samples.png", columns=8)
        rows, found = run.read_metrics(), {"test_mse": mse} | (self.score(epoch, self.model) if self.score else {})
        save_curves([*rows, {"step": rows[-1]["step"], **found}], run.pictures / "curves.png", units=self.model.units)
        return found

    def _reconstruct(self) -> tuple[float, tuple[Tensor, Tensor]]:
        n = min(TEST_IMAGES, len(self.test))
        error, shown = 0.0, None
        for x, recon in reconstruct(self.model, self.test, n, self.config.seed):
            error += F.mse_loss(recon, x, reduction="sum").item()
            shown = shown or (x[:32], recon[:32])
        assert shown is not None  # n >= 1
        return error / (n * x[0].numel()), shown

    def metadata(self) -> dict[str, Any]:
        """Kind and configuration, for the checkpoint; a ValueError if they do not describe the model."""
        check_rebuildable(self.model)
        return {"kind": KIND, "config": to_dict(self.config.model), "data": self.config.data}
