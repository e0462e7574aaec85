"""The program fsvae-tcja. Options are generated from the typed configuration."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tqdm import tqdm

from . import doctor
from .core.memory import keep_freed_memory
from .runtime import checkpoint
from .runtime.data import load_images
from .runtime.dataset import ImageDataset
from .runtime.device import resolve
from .runtime.export import save_images
from .runtime.loop import fit
from .runtime.pictures import save_pairs
from .runtime.run import RunFolder
from .vae import FSVAE, load
from .vae.checkpoint import find
from .vae.config import from_dict, to_dict
from .vae.presets import PRESETS, preset
from .vae.reconstruct import reconstruct as reconstruct_images
from .vae.sample import stream
from .vae.train import FSVAETask, TrainConfig

PROGRAM = "fsvae-tcja"
SHOW_PROGRESS = 5  # passes from which drawing shows a bar
FLAT = tyro.conf.arg(name="")
SCORED = 1000  # images drawn for a score while training


def _parse(command: Callable, name: str, args: list[str], about: str | None = None) -> Any:
    """Call `command`, or build the dataclass, with the options in `args`."""
    return tyro.cli(command, prog=f"{PROGRAM} {name}", args=args, description=about)


@dataclass(frozen=True)
class RunOptions:
    """Where a run reads and writes, and on what it runs. Not part of the configuration."""

    out: Path | None = None
    """Run folder; by default runs/PRESET."""
    data_root: Path | None = None
    """Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing data."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    dry_run: bool = False
    """Print the whole configuration and stop."""
    resume: Path | None = None
    """Go on with this run; its own configuration is used if no preset is named."""
    score_every: int = 0
    """Epochs between two FAD scores of the model (strict, 1,000 images of one seed, test split); 0: none."""
    autoencoder: Path | None = None
    """The autoencoder that --score-every looks through; `python -m eval train-fad` makes one."""


def train(args: list[str]) -> int:
    """Train an FSVAE: `train PRESET [options]`, or `train --resume RUN`."""
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: {PROGRAM} train PRESET [options]\n       {PROGRAM} train --resume RUN\n\npresets:")
        print("\n".join(f"  {name:15}{p.about}" for name, p in PRESETS.items()))
        print(f"\n{PROGRAM} train PRESET --help shows every option with the value that the preset gives it.")
        return 0
    resumes = args[0].startswith("-") and any(arg.partition("=")[0] == "--resume" for arg in args)
    config, options = _parse_resume(args) if resumes else _parse_train(args[0], args[1:])
    if options.resume not in (None, options.out):
        raise ValueError(f"--resume goes on in its own folder {options.resume}; leave --out away")
    if options.dry_run:
        print(json.dumps({"configuration": to_dict(config), "run": _plain(options)}, indent=2))
        return 0
    return _train(config, options)


def _parse_train(name: str, args: list[str]) -> tuple[TrainConfig, RunOptions]:
    if name.startswith("-"):
        raise ValueError(f"put a preset before {name}, one of {list(PRESETS)}: {PROGRAM} train mnist {name} ...")
    default = preset(name).config

    def parsed(
        config: Annotated[TrainConfig, FLAT] = default,
        options: Annotated[RunOptions, FLAT] = RunOptions(),
    ) -> tuple[TrainConfig, RunOptions]:
        return config, replace(options, out=options.out or options.resume or Path("runs") / name)

    return _parse(parsed, f"train {name}", args, PRESETS[name].about)


def _parse_resume(args: list[str]) -> tuple[TrainConfig, RunOptions]:
    options = _parse(RunOptions, "train", args)
    run = RunFolder(options.resume, resume=True)
    story = checkpoint.read_story(run.checkpoint)
    if "training" not in story:
        raise ValueError(f"{run.checkpoint} holds a model and no training run; start one with a preset")
    return from_dict(TrainConfig, story["training"]), replace(options, out=options.out or options.resume)


def _plain(options: RunOptions) -> dict[str, str | bool | None]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()}


def _train(config: TrainConfig, options: RunOptions) -> int:
    device = resolve(options.device)
    resume = options.resume is not None
    run = RunFolder(options.out, resume=resume)
    where = {"size": config.model.image_size, "root": options.data_root, "download": options.download}
    test = load_images(config.data, "test", **where)
    score = _scorer(options, config, test, device, run) if options.score_every else None
    task = FSVAETask(config, load_images(config.data, "train", **where), test, score)
    resume = options.resume is not None
    run = RunFolder(options.out, resume=resume)
    outcome = fit(task, config, to_dict(config), run, device=device, resume=resume)
    if not outcome.finished:
        print(f"stopped after step {outcome.step}; go on with: {PROGRAM} train --resume {run.path}")
        return 130
    print(f"trained {outcome.step} steps in {outcome.seconds:.0f} s; model: {run.model}, pictures: {run.pictures}")
    return 0


def _scorer(
    options: RunOptions, config: TrainConfig, test: ImageDataset, device: torch.device, run: RunFolder
) -> Callable[[int, FSVAE], dict[str, float]]:
    """FAD every so many epochs, on one seed, in full in run/scores/; the training's randomness is not touched."""
    from eval.fad import autoencoder_extractor, load_autoencoder, score_fad
    from eval.protocols import STRICT
    from eval.stats import make_reference

    if options.score_every < 0 or options.autoencoder is None:
        raise ValueError("--score-every needs a number > 0 and --autoencoder; make one: python -m eval train-fad")
    autoencoder, recipe = load_autoencoder(options.autoencoder), STRICT.recipe("FAD")
    reference = make_reference(test, autoencoder_extractor(autoencoder, recipe, device), recipe)

    def score(epoch: int, model: FSVAE) -> dict[str, float]:
        if epoch % options.score_every:
            return {}
        drawn = stream(model, SCORED, config.seed)
        fad = score_fad(drawn, autoencoder, reference, STRICT, n=SCORED, seed=config.seed, device=device)
        fad.save(run.path / "scores" / f"epoch-{epoch:03d}.json")
        return {"fad_strict": fad.value}

    return score


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
    drawn = stream(model, options.n, options.seed, batch_size=options.batch_size)
    passes = math.ceil(options.n / options.batch_size)
    drawn = tqdm(drawn, "draw", passes, unit="pass", disable=passes < SHOW_PROGRESS)
    save_images(drawn, options.out)
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
    data = options.data or checkpoint.read_story(find(options.checkpoint)).get("data")
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
    """Score a checkpoint, a folder, an array or a data set (what `python -m eval score` does, and checkpoints)."""
    from eval.cli import ScoreCommand

    command = _parse(ScoreCommand, "score", args, "Score a checkpoint, a folder, an array or a data set.")
    path = Path(command.images)
    path = path / "model.safetensors" if (path / "model.safetensors").is_file() else path
    if path.suffix == ".safetensors":
        command = replace(command, seed=command.seed or 0)
        command.run(lambda device: _drawing(path, command.seed, device))
    else:
        command.run()
    return 0


def _drawing(path: Path, seed: int, device: torch.device) -> Any:
    """A checkpoint as a source of images: image i depends on (seed, i) alone."""
    from eval.generators import IndexedImages
    from eval.provenance import tensors_sha256

    model, story = load(path, device), checkpoint.read_story(path)
    name = f"{story['kind']} on {story.get('data', 'unknown data')}, step {story.get('step', 'unknown')}"
    name += f", {tensors_sha256(model.state_dict())[:8]}"
    return IndexedImages(name, None, lambda start, n: torch.cat(list(stream(model, n, seed, first=start))), "-1..1")


def info(args: list[str]) -> int:
    """What is in a checkpoint: configuration, parameters, training."""

    def show(path: tyro.conf.Positional[Path]) -> None:
        """Print what is in a checkpoint.

        Args:
            path: a .safetensors checkpoint or a run folder.
        """
        tensors, story = checkpoint.read(find(path), prefix="model.")
        learnt = sum(t.numel() for n, t in tensors.items() if t.is_floating_point() and ".running_" not in n)
        print(json.dumps(story | {"parameters": learnt, "file": str(find(path))}, indent=2))

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
        print(f"error: unknown command {args[0]!r}: choose one of {list(COMMANDS)}", file=sys.stderr)
        return 2
    keep_freed_memory()
    try:
        return COMMANDS[args[0]](args[1:])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
