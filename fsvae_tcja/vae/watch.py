"""Warnings while there is still time: what goes wrong early in a training and stays wrong."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from ..data.dataset import LabelledDataset, limited, some
from ..data.pixels import to_float
from ..data.workers import batches
from ..runtime.callbacks import Callback
from ..runtime.modes import evaluated
from ..runtime.stages import Span
from .energy import energy
from .latent import Escape
from .latent.base import Latent
from .model import FSVAE
from .sample import sample

if TYPE_CHECKING:
    from ..runtime.trainer import Trainer

LOOKED_AT = 64  # training images
DRAWN = 16  # images
ALIKE = 1 / 127.5  # one of 256 levels: the eye sees no difference
LAG = 2.0  # times the error in training mode
AVERAGED = 1000  # training images, for their mean
SIMILAR = 1e-3  # mean squared distance from the mean image: some four of 256 levels
OFTEN, MANY = 20, 20  # steps between two evaluations, fewer of which take most of the time; evaluations
SHORT = 100  # steps, of which nothing can be expected


class Watch(Callback):
    """At the start a line if the training images hardly differ, or guidance leads away from what is untrained.

    After the first epoch that is evaluated a line each for dead and for saturated layers, for samples that are all
    equal, and for running statistics that lag behind the weights. In a run of several stages, whose prior comes later,
    samples are looked at when it ends. At the end a line if running statistics lag still, or else if the mean image
    would do as well as the reconstructions."""

    def __init__(self) -> None:
        self.variance: float | None = None  # of the training images
        self.mse: float | None = None  # of the last epoch that trained the whole model

    def start(self, trainer: "Trainer") -> None:
        if not _is_of_images(trainer.task.model):
            return
        self.variance = variance(trainer.data)
        if trainer.step:
            self.mse = next((row["mse"] for row in reversed(trainer.run.read_metrics()) if "mse" in row), None)
            return
        if self.variance < SIMILAR:
            trainer.message(
                f"note: the training images hardly differ: their mean squared distance from the mean image is "
                f"{self.variance:.2g} (range [-1, 1]). A model of them draws little else"
            )
        if line := tiny_epochs(len(trainer.data), trainer.spans, trainer.config.evaluate_every):
            trainer.message(f"note: {line}")
        for line in unguided(trainer.task.model.config.latent):
            trainer.message(f"warning: {line}")

    def epoch_end(self, trainer: "Trainer", figures: Mapping[str, float]) -> None:
        model, staged = trainer.task.model, len(trainer.spans) > 1
        lines: list[str] = []
        if not _is_of_images(model):
            return
        self.mse = trainer.row.get("mse", self.mse)
        if trainer.epoch == trainer.first_evaluated:
            pixels, _ = next(batches(some(trainer.data, LOOKED_AT), LOOKED_AT))
            drawn = None if staged else sample(model, DRAWN, trainer.config.seed)
            lines = find(model, to_float(pixels), drawn, self.mse, figures.get("test_mse"), steps=trainer.total)
        if trainer.step == trainer.total:
            lines += alike(sample(model, DRAWN, trainer.config.seed), trainer.total) if staged else []
            test_mse = figures.get("test_mse")
            late = lagging(self.mse, test_mse) or no_better(test_mse, self.variance)
            lines += [line for line in late if line not in lines]
        for line in lines:
            trainer.message(f"warning: {line}")


def _is_of_images(model: object) -> TypeGuard[FSVAE]:
    return isinstance(model, FSVAE) and model.config.input == "image"


def variance(data: LabelledDataset) -> float:
    """Mean squared distance of training images, in [-1, 1], from their mean: the error of that as a reconstruction."""
    images = limited(data, AVERAGED)
    total = squares = torch.zeros(images.shape, dtype=torch.float64)  # [C, H, W]
    for pixels, _ in batches(images, LOOKED_AT, num_workers=0):
        x = to_float(pixels).double()
        total, squares = total + x.sum(0), squares + x.square().sum(0)
    return float((squares / len(images) - (total / len(images)).square()).mean())


def tiny_epochs(images: int, spans: Sequence[Span], every: int) -> str:
    """A sentence if a training evaluates after every few of its steps, as on few images.

    Args:
        images: of the training.
        spans: its stages.
        every: epochs between two evaluations.
    """
    times = sum(ceil(span.total / (span.steps_per_epoch * every)) for span in spans)
    steps, first = spans[-1].end, spans[0]
    if times <= MANY or steps >= OFTEN * times:
        return ""
    rest = images % first.stage.batch_size
    left = f"; of {images} images {rest} are left out of each, not always the same" if rest else ""
    return (
        f"an epoch has {first.steps_per_epoch} step{'s' * (first.steps_per_epoch > 1)} of {first.stage.batch_size} "
        f"images{left}. The model is evaluated {times:,} times in {steps:,} steps: "
        f"--evaluate-every {ceil(every * OFTEN * times / steps)} takes less time"
    )


def unguided(latent: Latent) -> list[str]:
    """A sentence if a latent draws away from a prior without kinds that its training never shows."""
    if not isinstance(latent, Escape) or not latent.guidance or latent.label_dropout:
        return []
    return [
        f"guidance {latent.guidance:g} leads away from what the prior draws without label or cluster, and with "
        "label_dropout 0 it never learns that; set --model.latent.label-dropout, such as 0.15, or guidance 0"
    ]


def no_better(test_mse: float | None, variance: float | None) -> list[str]:
    """A sentence if the mean image of the training would do as well as reconstructions of this error, unless images
    hardly differ, where it does well."""
    if test_mse is None or variance is None or variance < SIMILAR or test_mse < variance:
        return []
    return [
        f"test_mse {test_mse:.3g} is no lower than {variance:.3g}, the error of the mean training image for every "
        "reconstruction: the model does not tell images apart yet. Train longer (--steps, --epochs)"
    ]


def alike(drawn: Tensor, steps: int) -> list[str]:
    """A sentence if images [n, C, H, W] that a model drew, at least two, are all the same.

    Args:
        drawn: the images.
        steps: of the whole training.
    """
    if (drawn - drawn[0]).abs().max() >= ALIKE:
        return []
    if steps < SHORT:
        return [f"all images drawn are the same: the prior has not learned yet, for which {steps} steps are few"]
    return [
        "all images drawn are the same: the prior has not learned yet, or its neurons are silent. If they stay so in a "
        "longer training, raise the learning rate of a run that has hardly moved, lower that of one that leapt"
    ]


def find(
    model: FSVAE,
    images: Tensor,
    drawn: Tensor | None,
    mse: float | None = None,
    test_mse: float | None = None,
    steps: int = SHORT,
) -> list[str]:
    """What is wrong with a model, a sentence for each.

    Args:
        model: it is left as it was.
        images: [N, C, H, W] in [-1, 1], of the training.
        drawn: at least two images drawn; None: not looked at.
        mse: reconstruction error in training mode, by the statistics of each batch.
        test_mse: by the running statistics.
        steps: of the whole training.
    """
    with evaluated(model):
        found = energy(model, images).warnings()
    if drawn is not None:
        found += alike(drawn, steps)
    return found + lagging(mse, test_mse)


def lagging(mse: float | None, test_mse: float | None) -> list[str]:
    """A sentence if the reconstruction error by running statistics is far above that in training mode, as `find` has
    them."""
    if not (mse and test_mse and test_mse > LAG * mse):
        return []
    return [
        f"test_mse {test_mse:.4g} is {test_mse / mse:.2g} times mse {mse:.4g}: the running statistics of the batch "
        "norms lag behind the weights, or the model has learned its images by heart. Train on, with --schedule "
        "cosine to a small step, or take them anew with --recalibrate"
    ]
