"""The commands fsvae-tcja classify train, evaluate, predict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsvae_tcja.data import LabelledDataset, located
from fsvae_tcja.runtime.callbacks import KeepMemory
from fsvae_tcja.runtime.checkpoint import read_metadata
from fsvae_tcja.runtime.command import RunOptions, TrainCommand
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.spelling import did_you_mean

from . import checkpoint
from .data import load_split
from .dossier import write_dossier
from .evaluate import ends_in_spikes, ranking
from .evaluate import predict as predict_outputs
from .files import read_inputs
from .model import SpikingClassifier
from .presets import PRESETS
from .report import report, told
from .train import ClassifierTask, TrainConfig, callbacks

PROGRAM = "fsvae-tcja classify"
TRAIN = TrainCommand(
    f"{PROGRAM} train", PRESETS, TrainConfig, RunOptions, checkpoint.KIND, SpikingClassifier, Path("runs/classify")
)


def train(args: list[str]) -> int:
    """Train a classifier: `train PRESET [options]`, or `train --resume RUN`."""
    return TRAIN.run(args, _train)


def _train(config: TrainConfig, options: RunOptions) -> int:
    device = resolve(options.device)
    config = replace(config, data=located(config.data))
    resume = options.resume is not None
    run = RunFolder(options.out, resume=resume)

    def split(name: str) -> LabelledDataset:
        return load_split(
            config.data,
            name,
            config.model,
            slices=config.slices,
            validation=config.validation,
            root=options.data_root,
            download=options.download,
        )

    test = split("test")  # loaded before the training, so that missing files are found now
    task = ClassifierTask(config, split("train"), split("valid"), test if config.test_every_epoch else None)
    accompanied = [*callbacks(), KeepMemory()]
    trainer = Trainer(task, config, run, device=device, callbacks=accompanied, init_from=options.init_from)
    outcome = trainer.fit(resume)
    print(TRAIN.ending(outcome, run, options))
    if not outcome.finished:
        return 130
    print(told(report(run, config, test, device)))
    return 0


@dataclass(frozen=True)
class EvaluateOptions:
    """Accuracy, confusion, firing, energy and gates of a checkpoint."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, or a run folder: its best epoch by validation, else its last."""
    data: str | None = None
    """Data set by name or folder; by default the one that the model was trained on."""
    split: Literal["train", "valid", "test"] = "test"
    """Split of the data set."""
    out: Path | None = None
    """Folder of the report; by default evaluation-SPLIT beside the checkpoint."""
    n_looked_at: int = 256
    """First inputs of the split, over which firing, energy and mean gates are taken."""
    batch_size: int = 64
    """Inputs per pass; changes memory and speed only."""
    data_root: Path | None = None
    """Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing images."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def evaluate(args: list[str]) -> int:
    """Accuracy, confusion matrix, firing rates, energy estimate and gates of a checkpoint."""
    options = tyro.cli(EvaluateOptions, prog=f"{PROGRAM} evaluate", args=args)
    device = resolve(options.device)
    model = checkpoint.load(options.checkpoint, device)
    path = checkpoint.find(options.checkpoint)
    metadata = read_metadata(path)
    training = metadata.get("training", {})
    name = options.data or metadata.get("data")
    if name is None:
        raise ValueError(f"{path} does not say what it was trained on; name a data set with --data")
    data = load_split(
        name,
        options.split,
        model.config,
        slices=training.get("slices", "count"),
        validation=training.get("validation", 0.1),
        root=options.data_root,
        download=options.download,
    )
    _check_names(path, metadata.get("classes", data.class_names), data)
    out, weights = options.out or path.parent / f"evaluation-{options.split}", checkpoint.weights_of(metadata)
    print(write_dossier(model, data, out, weights, n=options.n_looked_at, batch_size=options.batch_size))
    print(f"\nreport: {out}")
    return 0


def _check_names(path: Path, names: Sequence[str], data: LabelledDataset) -> None:
    """Outputs mean the classes that the model was trained on, in that order."""
    for i, (there, here) in enumerate(zip(names, data.class_names, strict=True)):
        if there != here:
            raise ValueError(
                f"{path} was trained on other classes: its class {i} is {there!r}, that of {data.name} {here!r}; "
                "evaluate it on data of the same classes"
            )


@dataclass(frozen=True)
class PredictOptions:
    """Name the class of images or recordings."""

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A .safetensors checkpoint, or a run folder: its best epoch by validation, else its last."""
    files: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="FILE...", help_behavior_hint="(at least one)"),
    ]
    """Images (png, jpg, ...) or event recordings (.bin, .aedat), as the model was trained on."""
    top: int = 3
    """How many classes to name for each."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def predict(args: list[str]) -> int:
    """Name the class of image files or event recordings."""
    options = tyro.cli(PredictOptions, prog=f"{PROGRAM} predict", args=args)
    if not options.files:
        raise ValueError("name at least one file to classify")
    if options.top < 1:
        raise ValueError(f"--top must be at least 1 class, found {options.top}")
    device = resolve(options.device)
    model = checkpoint.load(options.checkpoint, device)
    metadata = read_metadata(checkpoint.find(options.checkpoint))
    names = metadata.get("classes") or [str(i) for i in range(model.config.classes)]
    slices = metadata.get("training", {}).get("slices", "count")
    for path in options.files:
        for title, x in read_inputs(path, model.config, slices):
            outputs = predict_outputs(model, x.to(device)).cpu()
            if ends_in_spikes(model) and not outputs.any():
                print(f"{title}: no output neuron fired")
                continue
            best = ranking(outputs)[0, : options.top].tolist()
            print(f"{title}: {', '.join(f'{names[i]} {outputs[0, i]:.3f}' for i in best)}")
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {"train": train, "evaluate": evaluate, "predict": predict}


def main(args: list[str]) -> int:
    """`fsvae-tcja classify COMMAND`; returns its exit status.

    Raises:
        ValueError: an unknown command, or what the command refuses.
    """
    if not args or args[0] in ("-h", "--help"):
        lines = [f"  {name:12}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
        print(
            "\n".join([f"usage: {PROGRAM} COMMAND [options]", "", *lines, "", f"{PROGRAM} COMMAND --help says more."])
        )
        return 0
    if args[0] not in COMMANDS:
        raise ValueError(
            f"unknown command {args[0]!r}{did_you_mean(args[0], COMMANDS)}: choose one of {list(COMMANDS)}"
        )
    return COMMANDS[args[0]](args[1:])
