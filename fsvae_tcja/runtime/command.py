"""What the commands that train share: a preset with options generated from the typed configuration, and resuming."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
import tyro
from torch import nn

from ..utils.configuration import from_dict, to_dict
from ..utils.spelling import did_you_mean
from . import checkpoint
from .loop import Outcome
from .run import RunFolder

FLAT = tyro.conf.arg(name="")


@dataclass(frozen=True)
class RunOptions:
    """Where a run reads and writes, and on what it runs. Not part of the configuration."""

    out: Path | None = None
    """Run folder; by default one named like the preset, which --dry-run shows."""
    data_root: Path | None = None
    """Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing sets of images; recordings of events are never fetched."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    dry_run: bool = False
    """Print the whole configuration and the number of parameters, and stop."""
    resume: Path | None = None
    """Go on with this run; its own configuration is used if no preset is named."""


class Preset(Protocol):
    """A named configuration and a sentence on it."""

    config: Any
    about: str


@dataclass(frozen=True)
class TrainCommand:
    """`PROGRAM PRESET [options]` and `PROGRAM --resume RUN`.

    Args:
        program: what the user types before the preset.
        presets: configurations by name.
        config: their class.
        options: class of the other options.
        kind: of the checkpoints that it resumes.
        network: builds the network of a configuration's `model`.
        folder: where runs go by default.
    """

    program: str
    presets: Mapping[str, Preset]
    config: type
    options: type[RunOptions]
    kind: str
    network: Callable[[Any], nn.Module]
    folder: Path = Path("runs")

    def run(self, args: list[str], train: Callable[[Any, Any], int]) -> int:
        """Parse the arguments and train, or print help or (--dry-run) the configuration; returns the exit status.

        Raises:
            ValueError: an unknown preset, what a resumed run does not take, or (--dry-run) no network can be built.
        """
        if not args or args[0] in ("-h", "--help"):
            print(self._usage())
            return 0
        resumes = args[0].startswith("-") and any(arg.partition("=")[0] == "--resume" for arg in args)
        config, options = self._resumed(args) if resumes else self._named(args[0], args[1:])
        if options.resume not in (None, options.out):
            raise ValueError(f"--resume goes on in its own folder {options.resume}; leave --out away")
        if options.dry_run:
            parameters = self._parameters(config)
            plan = {"configuration": to_dict(config), "parameters": parameters, "run": _plain(options)}
            print(json.dumps(plan, indent=2))
            return 0
        return train(config, options)

    def told(self, outcome: Outcome, run: RunFolder, options: RunOptions) -> str:
        """How the training ended, as a line of text."""
        if not outcome.finished:
            same = ["--resume", str(run.path)]
            same += ["--data-root", str(options.data_root)] if options.data_root else []
            same += ["--device", options.device] if options.device != "auto" else []
            return f"stopped after step {outcome.step}; go on with: {self.program} {shlex.join(same)}"
        done = f"trained {outcome.trained} steps in {outcome.seconds:.0f} s"
        if not outcome.trained:
            done = f"the run was finished already at step {outcome.step} of {outcome.total}, nothing was trained"
        return f"{done}; model: {run.model}, pictures: {run.pictures}"

    def _parameters(self, config: Any) -> int:
        """Of the network, built without its numbers."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.network(config.model).parameters())

    def _usage(self) -> str:
        presets = [f"  {name:18}{preset.about}" for name, preset in self.presets.items()]
        return "\n".join(
            [
                f"usage: {self.program} PRESET [options]\n       {self.program} --resume RUN\n\npresets:",
                *presets,
                f"\n{self.program} PRESET --help shows every option with the value that the preset gives it.",
            ]
        )

    def _named(self, name: str, args: list[str]) -> tuple[Any, RunOptions]:
        if name.startswith("-"):
            example = f"{self.program} {next(iter(self.presets))} {name} ..."
            raise ValueError(f"put a preset before {name}, one of {list(self.presets)}: {example}")
        if name not in self.presets:
            near = did_you_mean(name, self.presets)
            raise ValueError(f"unknown preset {name!r}{near}: choose one of {list(self.presets)}")
        preset, untouched = self.presets[name], self.options()

        def parsed(
            config: Annotated[self.config, FLAT] = preset.config,
            options: Annotated[self.options, FLAT] = untouched,
        ) -> tuple[Any, RunOptions]:
            return config, replace(options, out=options.out or options.resume or self.folder / name)

        return tyro.cli(parsed, prog=f"{self.program} {name}", args=args, description=preset.about)

    def _resumed(self, args: list[str]) -> tuple[Any, RunOptions]:
        options, unknown = tyro.cli(self.options, prog=self.program, args=args, return_unknown_args=True)
        if unknown:
            known = [f"--{f.name.replace('_', '-')}" for f in fields(self.options) if f.name not in ("out", "resume")]
            found = f"{unknown[0]}{did_you_mean(unknown[0], known)}"
            raise ValueError(
                f"a resumed run keeps its own settings, found {found}: start a new run to change it. "
                f"Beside --resume there may be {', '.join(known)}"
            )
        run = RunFolder(options.resume, resume=True)
        metadata = checkpoint.read_metadata(run.checkpoint)
        if "training" not in metadata:
            raise ValueError(f"{run.checkpoint} holds a model and no training run; start one with a preset")
        if metadata.get("kind") != self.kind:
            raise ValueError(f"{run.path} is a run of a {metadata.get('kind')!r}, {self.program} resumes {self.kind!r}")
        return from_dict(self.config, metadata["training"]), replace(options, out=options.out or options.resume)


def _plain(options: RunOptions) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
