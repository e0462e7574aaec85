"""The commands that train the networks of scores: train-fad, train-classifier."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import tyro

from fsvae_tcja.data.load import load_images
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.utils.options import DataRoot, Device, Download, parse

from ..networks.autoencoder import Autoencoder, train_autoencoder
from ..networks.autoencoder import training_for as autoencoder_training_for
from ..networks.classifier import Classifier, train_classifier
from ..networks.classifier import training_for as classifier_training_for
from ..training import Interrupted, TrainingConfig
from .display import check_writable, console


@dataclass(frozen=True)
class _TrainCommand:
    data: Annotated[str, tyro.conf.Positional]
    """A data set or a folder of images."""
    out: Path
    """The .safetensors file to write. Metrics and checkpoint go into a folder beside it, FILE-training."""
    epochs: int | None = None
    """Passes over the training split; None: what suits the data set."""
    batch_size: int | None = None
    """Images per step; None: what suits the data set."""
    lr: float | None = None
    """Learning rate of AdamW; None: 1e-3."""
    latent: int | None = None
    """Length of the feature vector; None: the network's own."""
    seed: int = 0
    """Random seed of the initial weights and of the order of the images."""
    size: int = 32
    """32 or 64 pixels."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"
    resume: bool = False
    """Go on with the same training where it was interrupted."""

    def config(self, default: TrainingConfig) -> TrainingConfig:
        """The default with what is given."""
        names = ("epochs", "batch_size", "lr", "latent")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(default, seed=self.seed, device=str(resolve(self.device)), **given)

    @property
    def training(self) -> Path:
        """The run folder."""
        return self.out.with_name(f"{self.out.stem}-training")

    def resumed(self) -> str:
        """The arguments that go on with this training."""
        args = [self.data]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("data", "resume") and value != field.default:
                option = f"--{field.name.replace('_', '-')}"
                args += [option] if value is True else [option, str(value)]
        return shlex.join([*args, "--resume"])


@dataclass(frozen=True)
class TrainFADCommand(_TrainCommand):
    """Train the autoencoder of the FAD."""

    def run(self) -> int:
        config = self.config(autoencoder_training_for(self.data))
        return _train(self, train_autoencoder, config, "test_mse")


@dataclass(frozen=True)
class TrainClassifierCommand(_TrainCommand):
    """Train the classifier of the domain scores."""

    def run(self) -> int:
        config = self.config(classifier_training_for(self.data))
        return _train(self, train_classifier, config, "test_accuracy")


def _train(
    command: _TrainCommand, train: Callable[..., Autoencoder | Classifier], config: TrainingConfig, figure: str
) -> int:
    """Train and write; an interrupted training says how it is resumed. Returns the exit status, then 130."""
    check_writable(command.out, ".safetensors")
    again = f"{Autoencoder.command if train is train_autoencoder else Classifier.command} {command.resumed()}"
    if command.training.exists() and not command.resume:
        raise ValueError(
            f"{command.training} already holds a training: go on with `{again}`, delete it, or choose another --out"
        )
    train_set, test_set = (
        load_images(command.data, split, size=command.size, root=command.data_root, download=command.download)
        for split in ("train", "test")
    )
    try:
        network = train(train_set, config, test=test_set, run=command.training, resume=command.resume)
    except Interrupted as stopped:
        console().print(f"{stopped}; go on with: {again}")
        return 130
    network.save(command.out)
    value = f"{figure.replace('_', ' ')} {network.provenance[figure]:.4f}"
    console().print(f"written to {command.out}: {value}")
    return 0


def fad(args: list[str]) -> int:
    """Train an autoencoder and write it."""
    command: TrainFADCommand = parse(TrainFADCommand, "fsvae-tcja eval train-fad", args)
    return command.run()


def classifier(args: list[str]) -> int:
    """Train a classifier and write it."""
    command: TrainClassifierCommand = parse(TrainClassifierCommand, "fsvae-tcja eval train-classifier", args)
    return command.run()
