"""The commands that train the networks of scores: train-fad, train-classifier."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import Annotated

import torch
import tyro

from fsvae_tcja.data.dataset import LabelledDataset
from fsvae_tcja.data.load import load_images
from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.runtime.run import has_checkpoint
from fsvae_tcja.utils.atomic import check_writable
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.options import DataRoot, Device, Download, Real, Whole, parse
from fsvae_tcja.utils.outputs import check_kept
from fsvae_tcja.utils.processes import joined, own, rank, started_anew

from ..networks.autoencoder import Autoencoder, train_autoencoder
from ..networks.autoencoder import training_for as autoencoder_training_for
from ..networks.classifier import Classifier, train_classifier
from ..networks.classifier import training_for as classifier_training_for
from ..networks.trained import FeatureNetwork
from ..training import Interrupted, TrainingConfig
from .display import console


@dataclass(frozen=True)
class TrainOptions:
    """What the training of a network takes."""

    data: Annotated[str, tyro.conf.Positional]
    """A data set, or a folder of images or tar shards."""
    out: Path
    """The .safetensors file to write. Metrics and checkpoint go into a folder beside it, FILE-training."""
    epochs: Whole = None
    """Passes over the training split; None: what suits the data set."""
    batch_size: Whole = None
    """Images per step; None: what suits the data set."""
    lr: Real = None
    """Learning rate of AdamW; None: 1e-3."""
    latent: Whole = None
    """Length of the feature vector; None: the network's own."""
    seed: int = 0
    """Random seed of the initial weights and of the order of the images."""
    size: int = 32
    """32 or 64 pixels."""
    half: bool = False
    """Write the weights in half precision, for half the bytes."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"
    resume: bool = False
    """Go on with the same training where it was interrupted."""

    def config(self, default: TrainingConfig) -> TrainingConfig:
        """The default with what is given."""
        names = ("epochs", "batch_size", "lr", "latent")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(default, seed=self.seed, device=str(own(resolve(self.device))), **given)

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


def _train(
    options: TrainOptions, network: type[FeatureNetwork], train: Callable[..., FeatureNetwork], default: TrainingConfig
) -> int:
    """Train and write; an interrupted training says how it is resumed. Returns the exit status."""
    check_writable(options.out, ".safetensors")
    anew = started_anew()
    if anew and has_checkpoint(options.training):
        options = replace(options, resume=True)
    again = f"{network.command} {options.resumed()}"
    if options.training.exists() and not options.resume and not anew:
        raise ValueError(
            f"{options.training} already holds a training: go on with `{again}`, delete it, or choose another --out"
        )
    if not options.resume:
        check_kept(options.out)
    with once_per_machine():
        train_set, test_set = (
            load_images(options.data, split, size=options.size, root=options.data_root, download=options.download)
            for split in ("train", "test")
        )
    try:
        trained = train(train_set, options.config(default), test=test_set, run=options.training, resume=options.resume)
    except Interrupted as stopped:
        console().print(f"{stopped}; go on with: {again}")
        return stopped.status
    _check_finite(trained, test_set)
    if rank() == 0:
        trained.save(options.out, half=options.half)
    console().print(
        f"written to {options.out}: {network.figure.replace('_', ' ')} {trained.provenance[network.figure]:.4f}"
    )
    if rank() == 0:
        console().print(f"its training, for --resume: {options.training}; delete it when you are done")
    for note in trained.quality_notes():
        console().print(f"note: {note}")
    return 0


@torch.inference_mode()
def _check_finite(network: FeatureNetwork, test: LabelledDataset) -> None:
    """Refuse a network that no score can look through."""
    images, _ = test.read(range(min(100, len(test))))
    figure = float(network.provenance[network.figure])
    if not isfinite(figure) or not network(to_float(images)).isfinite().all():
        raise ValueError(
            f"the training went astray ({network.figure.replace('_', ' ')} {figure:.4g}) and nothing was written: what "
            "the network gives for test images is not finite; train anew with a lower --lr"
        )


def fad(args: list[str]) -> int:
    """Train an autoencoder and write it."""
    with joined():
        options = parse(TrainOptions, Autoencoder.command, args, "Train the autoencoder of the FAD.")
        return _train(options, Autoencoder, train_autoencoder, autoencoder_training_for(options.data))


def classifier(args: list[str]) -> int:
    """Train a classifier and write it."""
    with joined():
        options = parse(TrainOptions, Classifier.command, args, "Train the classifier of the domain scores.")
        return _train(options, Classifier, train_classifier, classifier_training_for(options.data))
