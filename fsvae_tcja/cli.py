"""The program fsvae-tcja. Options are generated from the typed configuration."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro

from . import doctor
from .commands.scoring import ScoringOptions, scorer
from .core.memory import keep_freed_memory
from .data import IMAGE_SETS
from .data.load import load_images
from .runtime import checkpoint
from .runtime.callbacks import KeepMemory
from .runtime.command import RunOptions, TrainCommand
from .runtime.device import resolve
from .runtime.export import save_images
from .runtime.pictures import save_pairs
from .runtime.run import RunFolder
from .runtime.trainer import Trainer
from .utils.options import parse
from .utils.progress import progress
from .utils.spelling import did_you_mean
from .vae import load
from .vae.checkpoint import KIND
from .vae.model import FSVAE
from .vae.own_images import sized
from .vae.presets import PRESETS
from .vae.reconstruct import reconstruct as reconstruct_images
from .vae.sample import stream
from .vae.train import FSVAETask, TrainConfig

PROGRAM = "fsvae-tcja"


def _parse(command: Callable, name: str, args: list[str], about: str | None = None) -> Any:
    """Call `command`, or build the dataclass, with the options in `args`."""
    return parse(command, f"{PROGRAM} {name}", args, about)


@dataclass(frozen=True)
class TrainOptions(RunOptions, ScoringOptions):
    """What `train` takes besides the configuration."""

    size: int = 0
    """Height and width of the images in pixels, 32 or 64, with blocks and channels to suit; 0: as configured."""


def _fit_to_images(config: TrainConfig, options: TrainOptions, given: frozenset[str]) -> TrainConfig:
    """The model for images of --size; in a folder of one's own also for their colours, unless these are given."""
    model = sized(config.model, options.size) if options.size else config.model
    if config.data not in IMAGE_SETS and "--model.in-channels" not in given:
        images = load_images(config.data, size=model.image_size)
        model = replace(model, in_channels=images.channels)
        colour = "grey" if images.channels == 1 else "colour"
        print(f"{len(images):,} {colour} images of {config.data}, at {images.size} pixels (--size)", file=sys.stderr)
    return replace(config, model=model)


TRAIN = TrainCommand(f"{PROGRAM} train", PRESETS, TrainConfig, TrainOptions, KIND, FSVAE, adapt=_fit_to_images)


def train(args: list[str]) -> int:
    """Train an FSVAE: `train PRESET [options]`, or `train --resume RUN`."""
    return TRAIN.run(args, _train)


def _train(config: TrainConfig, options: TrainOptions) -> int:
    device = resolve(options.device)
    resume = options.resume is not None
    run = RunFolder(options.out, resume=resume)
    where = {"size": config.model.image_size, "root": options.data_root, "download": options.download}
    scoring, score = options.complete(run, resume), None
    if scoring.score_every:
        score = scorer(scoring, config, device, run, where)
    train, test = (load_images(config.data, split, **where) for split in ("train", "test"))
    task = FSVAETask(config, train, test, score)
    scoring.remember(run)
    trainer = Trainer(task, config, run, device=device, callbacks=[KeepMemory()], init_from=options.init_from)
    outcome = trainer.fit(resume)
    print(TRAIN.ending(outcome, run, options))
    return 0 if outcome.finished else 130


@dataclass(frozen=True)
class SampleOptions:
    """Draw images from a checkpoint."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint or a run folder."""
    out: Path = Path("samples.png")
    """A .png: one grid. A .npz: uint8 images [n, H, W, C] under the key "images". Else a folder: one PNG per image."""
    n: int = 64
    """How many images."""
    seed: int = 0
    """Image i depends on (seed, i) alone."""
    batch_size: int = 64
    """Images per pass; changes memory and speed only."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def sample(args: list[str]) -> int:
    """Draw images from a checkpoint: one grid, an .npz, or a folder of PNG files."""
    options = _parse(SampleOptions, "sample", args)
    model = load(options.checkpoint, resolve(options.device))
    with progress("draw", options.n, "images") as bar:
        drawn = stream(model, options.n, options.seed, batch_size=options.batch_size)
        save_images((bar.advance(len(images)) or images for images in drawn), options.out)
    print(f"drew {options.n} images (seed {options.seed}): {options.out}")
    return 0


@dataclass(frozen=True)
class ReconstructOptions:
    """Reconstruct images through the latent."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint or a run folder."""
    data: str | None = None
    """Data set by name or a folder of images; by default the one that the model was trained on."""
    split: str = "test"
    """Split of the data set."""
    out: Path = Path("reconstructions.png")
    """The picture: rows of originals above their reconstructions."""
    n: int = 32
    """How many images, the first of the split."""
    seed: int = 0
    """Owner of the latent draws."""
    batch_size: int = 64
    """Images per pass."""
    data_root: Path | None = None
    """Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing data."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def reconstruct(args: list[str]) -> int:
    """Reconstruct images of a data set or folder, and print the mean squared error."""
    options = _parse(ReconstructOptions, "reconstruct", args)
    device = resolve(options.device)
    model = load(options.checkpoint, device)
    data = options.data or checkpoint.read_metadata(checkpoint.find(options.checkpoint)).get("data")
    if data is None:
        raise ValueError(f"{options.checkpoint} does not say what it was trained on; name a data set with --data")
    where = {"root": options.data_root, "download": options.download}
    images = load_images(data, options.split, size=model.config.image_size, **where)
    pairs = reconstruct_images(model, images, options.n, options.seed, batch_size=options.batch_size)
    originals, reconstructions = zip(*pairs, strict=True)
    x, recon = torch.cat(originals), torch.cat(reconstructions)
    save_pairs(x, recon, options.out)
    mse = torch.nn.functional.mse_loss(recon, x).item()
    print(f"reconstruction MSE {mse:.4f} (range [-1, 1], first {options.n} of {data} {options.split}): {options.out}")
    return 0


def score(args: list[str]) -> int:
    """Score a checkpoint, a folder, an array or a data set (`fsvae-tcja eval score`)."""
    from eval.cli import score as run

    return run(args)


def evaluations(args: list[str]) -> int:
    """Scores, references, comparisons, protocols, and the networks of the scores."""
    from eval.cli import main as run

    return run(args)


def classify(args: list[str]) -> int:
    """Spiking classifiers: classify train, evaluate, predict."""
    from classifiers.cli import main as run

    return run(args)


def info(args: list[str]) -> int:
    """What is in a checkpoint: configuration, parameters, training."""

    def show(path: tyro.conf.Positional[Path]) -> None:
        """Print what is in a checkpoint.

        Args:
            path: a .safetensors checkpoint or a run folder.
        """
        tensors, metadata = checkpoint.read(checkpoint.find(path), prefix="model.")
        learnt = sum(t.numel() for n, t in tensors.items() if t.is_floating_point() and ".running_" not in n)
        print(json.dumps(metadata | {"parameters": learnt, "file": str(checkpoint.find(path))}, indent=2))

    _parse(show, "info", args)
    return 0


def show_doctor(args: list[str]) -> int:
    """Versions, devices, backends and why, data found."""

    def show(data_root: Path | None = None) -> None:
        """Print versions, devices, backends and why, and which data sets are there.

        Args:
            data_root: folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data.
        """
        print(doctor.report(data_root))

    _parse(show, "doctor", args)
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "sample": sample,
    "reconstruct": reconstruct,
    "score": score,
    "eval": evaluations,
    "classify": classify,
    "info": info,
    "doctor": show_doctor,
}


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:14}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND [options]", "", *lines, "", f"{PROGRAM} COMMAND --help says more."])


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status: 0, 2 for a wrong input, 130 for an interrupted run."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0
    if args[0] not in COMMANDS:
        near = did_you_mean(args[0], COMMANDS)
        print(f"error: unknown command {args[0]!r}{near}: choose one of {list(COMMANDS)}", file=sys.stderr)
        return 2
    if args[0] in ("sample", "score"):  # training does so itself, after its first step
        keep_freed_memory()
    try:
        return COMMANDS[args[0]](args[1:])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
