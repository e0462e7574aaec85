"""Warnings while there is still time: what goes wrong early in a training and stays wrong."""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.callbacks import Callback
from ..runtime.modes import evaluated
from .energy import energy
from .model import FSVAE
from .sample import sample

if TYPE_CHECKING:
    from ..runtime.trainer import Trainer

LOOKED_AT = 64  # training images, and images drawn
ALIKE = 1 / 127.5  # one of 256 levels: the eye sees no difference
LAG = 2.0  # times the error in training mode


class Watch(Callback):
    """After the first epoch that is evaluated a line each for dead and for saturated layers, for samples that are all equal,
    and for running statistics that lag behind the weights."""

    def epoch_end(self, trainer: "Trainer", figures: Mapping[str, float]) -> None:
        model = trainer.task.model
        if trainer.epoch != trainer.first_evaluated or not isinstance(model, FSVAE) or model.config.input != "image":
            return
        pixels, _ = next(
            islice(batches(trainer.data, LOOKED_AT, order=torch.arange(min(LOOKED_AT, len(trainer.data)))), 1)
        )
        drawn = None if len(trainer.spans) > 1 else sample(model, 16, trainer.config.seed)  # its prior comes later
        for line in find(model, to_float(pixels), drawn, trainer.row.get("mse"), figures.get("test_mse")):
            trainer.message(f"warning: {line}")


def find(
    model: FSVAE, images: Tensor, drawn: Tensor | None, mse: float | None = None, test_mse: float | None = None
) -> list[str]:
    """What is wrong with a model, a sentence for each.

    Args:
        model: it is left as it was.
        images: [N, C, H, W] in [-1, 1], of the training.
        drawn: at least two images drawn; None: not looked at.
        mse: reconstruction error in training mode, by the statistics of each batch.
        test_mse: by the running statistics.
    """
    with evaluated(model):
        found = energy(model, images).warnings()
    if drawn is not None and (drawn - drawn[0]).abs().max() < ALIKE:
        found.append(
            "all images drawn are the same: the prior has not learned yet, or its neurons are silent. If they stay so "
            "over the next epochs, raise the learning rate of a run that has hardly moved, lower that of one that leapt"
        )
    if mse and test_mse and test_mse > LAG * mse:
        found.append(
            f"test_mse {test_mse:.4g} is {test_mse / mse:.2g} times mse {mse:.4g}: the running statistics of the batch "
            "norms lag behind the weights, or the model has learned its images by heart. Train on, with --schedule "
            "cosine to a small step, or take them anew with --recalibrate"
        )
    return found
