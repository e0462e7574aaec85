"""Training a spiking classifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fsvae_tcja.data import LabelledDataset, time_first, to_input
from fsvae_tcja.data.events.frames import SliceBy
from fsvae_tcja.runtime.build import build
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.checkpoint import read_metadata, write
from fsvae_tcja.runtime.config import Schedule, TrainerConfig
from fsvae_tcja.runtime.curves import save_curves
from fsvae_tcja.runtime.firing import warnings
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.seeding import on_host
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.configuration import to_dict
from fsvae_tcja.utils.shares import known_share
from fsvae_tcja.utils.spelling import check_choice

from . import checkpoint
from .accuracy import Evaluation, evaluate, inputs, ranking
from .augment import Augment, augment, check_fit
from .config import ClassifierConfig
from .layers import TimeDropout
from .losses import LOSSES, Loss, check_labels
from .model import SpikingClassifier
from .report.firing import firing

UNITS = {"accuracy": "fraction correct", "loss": "loss"}


@dataclass(frozen=True)
class TrainConfig(TrainerConfig):
    """A training run of a classifier: Adam (AdamW without decay), cosine to 0, as the TCJA programs have it."""

    data: str = "digits"
    """Data set of images or events by name, one that `fsvae-tcja doctor` lists, or a folder with a folder of images for
    each class."""
    batch_size: int = 250
    """Inputs per step; a last smaller batch is left out."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""
    schedule: Schedule = "cosine"
    """Learning rate over the steps, after the warm-up: constant, or a cosine from lr down to 0 at the last step."""
    compile: bool = False
    """Compile the network with torch.compile."""
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The model."""
    loss: Loss = "smse"
    """Spike mean squared error as the program or as the paper has it, TET, or cross-entropy of the mean output."""
    augment: Augment = field(default_factory=Augment)
    """Augmentation, of training batches only."""
    slices: SliceBy = "count"
    """Recordings become T frames of equal event count, or of equal time."""
    validation: float = 0.1
    """Part of each class of the training split, of dvs128 of its subjects, that is kept for validation; 0 for none."""
    test_every_epoch: bool = False
    """Also report the best test epoch, as the literature does; nothing is chosen by it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("loss", self.loss, Loss)
        check_choice("slices", self.slices, SliceBy)
        if self.graph:
            raise ValueError(
                "a classifier's step cannot be one CUDA graph: what it drops and augments is drawn on the CPU, and a "
                "graph would repeat it; leave --graph away"
            )
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be in [0, 1), found {self.validation}")


class ClassifierTask:
    """A classifier as the training loop sees it.

    Args:
        config: the run.
        train: training data.
        valid: validation data, by which the best epoch is chosen; may be empty.
        test: test data, if it is to be looked at after every epoch.

    Raises:
        ValueError: an augmentation that does not fit the data, or a label that is no class of the network.
    """

    def __init__(
        self, config: TrainConfig, train: LabelledDataset, valid: LabelledDataset, test: LabelledDataset | None = None
    ) -> None:
        check_fit(config.augment, config.model.shape[1:], events=train.T is not None, directed=train.directed)
        check_labels(train.labels, config.model.classes)
        self.config = config
        self.data = train
        self.valid = valid
        self.test = test
        self.validated: Evaluation | None = None
        self.model = build(lambda: SpikingClassifier(config.model), config)
        if config.compile:
            self.model.compile()

    def losses(self, x: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """x images [B, C, H, W] or frames [B, T, 2, H, W], labels [B] -> {"loss", "accuracy"}."""
        config, generator = self.config, on_host(generator)
        x, targets = augment(config.augment, to_input(x), labels, config.model.classes, generator)
        outputs = self._run(time_first(x), generator)
        with torch.autocast(x.device.type, enabled=False):
            outputs = outputs.float()
            right = (ranking(outputs.mean(0))[:, 0] == targets.argmax(1)).float().mean()
            return {"loss": LOSSES[config.loss](outputs, targets), "accuracy": right}

    def _run(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The model, its dropout drawn from the step's own seed."""
        for module in self.model.modules():
            if isinstance(module, TimeDropout):
                module.share = known_share(generator)
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            return self.model(x)

    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        """Accuracy on the validation split, and on the test split if it is to be looked at."""
        rows, accuracies = run.read_metrics(), {}
        if self.test is not None:
            accuracies["test_accuracy"] = evaluate(self.model, self.test, self.config.batch_size).accuracy
        if len(self.valid):
            self.validated = evaluate(self.model, self.valid, self.config.batch_size)
            accuracies["valid_accuracy"] = self.validated.accuracy
        save_curves([*rows, {"step": rows[-1]["step"], **accuracies}], run.pictures / "curves.png", units=UNITS)
        return accuracies

    def metadata(self) -> dict[str, Any]:
        """Kind, configuration, data and class names; a ValueError if the configuration does not build the model."""
        checkpoint.check_rebuildable(self.model)
        return {
            "kind": checkpoint.KIND,
            "config": to_dict(self.config.model),
            "data": self.config.data,
            "classes": list(self.data.class_names),
            **self.data.told,
        }


class KeepBest(Callback):
    """Keeps the weights of the epoch of the best validation accuracy, the latest of equals, in best.safetensors.

    They are in the checkpoint too, with the best test epoch: a resumed run depends on nothing else.
    """

    def __init__(self, task: ClassifierTask) -> None:
        self.task = task
        self.best: float | None = None
        self.epoch = 0
        self.weights: dict[str, Tensor] = {}
        self.tested: dict[str, Any] | None = {}

    def state(self) -> dict[str, Any]:
        weights = {f"weights.{name}": tensor for name, tensor in self.weights.items()}
        return {"best": self.best, "epoch": self.epoch, "tested": self.tested} | weights

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self.epoch = state.get("best"), state.get("epoch", 0)
        self.tested = state.get("tested")
        self.weights = {name.removeprefix("weights."): x for name, x in state.items() if name.startswith("weights.")}

    def start(self, trainer: Trainer) -> None:
        file = trainer.run.path / checkpoint.BEST
        if self.weights:
            self._write(trainer)
        elif self.best is None and trainer.step and file.is_file():  # a run of 0.1.0, whose checkpoints do not say
            self.best = read_metadata(file).get("valid_accuracy")
        if self.tested is None:
            self.tested = best_tested(trainer.run)

    def epoch_end(self, trainer: Trainer, figures: Mapping[str, float]) -> None:
        test, accuracy = figures.get("test_accuracy"), figures.get("valid_accuracy")
        if test is not None and test > (self.tested or {}).get("test_accuracy", -1):
            self.tested = {"epoch": trainer.epoch, "test_accuracy": test}
        if accuracy is None or (self.best is not None and accuracy < self.best):
            return
        self.best, self.epoch = accuracy, trainer.epoch
        self.weights = {name: tensor.detach().clone() for name, tensor in self.task.model.state_dict().items()}
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        metadata = {"epoch": self.epoch, "valid_accuracy": self.best, "training": to_dict(trainer.config)}
        tensors = {f"model.{name}": tensor for name, tensor in self.weights.items()}
        write(trainer.run.path / checkpoint.BEST, tensors, self.task.metadata() | metadata)


def best_tested(run: RunFolder) -> dict[str, Any]:
    """The first epoch of the best test accuracy by the log, for runs of older versions; empty if none was tested."""
    rows = [row for row in run.read_metrics() if "test_accuracy" in row]
    top = max(rows, key=lambda row: row["test_accuracy"], default={})
    return {name: top[name] for name in ("epoch", "test_accuracy") if top}


class WarnOfSilence(Callback):
    """Warns of neurons that never fire, after the first evaluation, and of classes that are named without a spike."""

    def __init__(self, task: ClassifierTask) -> None:
        self.task = task

    def epoch_end(self, trainer: Trainer, figures: Mapping[str, float]) -> None:
        task = self.task
        if trainer.epoch == trainer.first_evaluated:
            data = task.valid if len(task.valid) else task.data
            batch, _ = next(inputs(data, task.config.batch_size, trainer.device))
            for warning in warnings(firing(task.model, [batch])):
                trainer.message(f"warning: {warning}")
        valid = task.validated
        if valid and valid.silent is not None and valid.silent > valid.n / 2:
            trainer.message(
                f"warning: epoch {trainer.epoch}: no output neuron fired for {valid.silent:,} of {valid.n:,} "
                "validation inputs, so the first class is named. If more epochs do not change that, try another --lr "
                "or --model.neuron"
            )


def callbacks(task: ClassifierTask) -> list[Callback]:
    """What a classifier's training has besides what every training has."""
    return [KeepBest(task), WarnOfSilence(task)]
