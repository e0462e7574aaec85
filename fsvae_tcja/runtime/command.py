"""What the commands that train share: a preset with options generated from the typed configuration, and resuming."""

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import nn

from ..data.names import located
from ..data.shards import means_shards
from ..utils.configuration import from_dict, to_dict
from ..utils.foreign import reading
from ..utils.memory import check_fits, gigabytes
from ..utils.options import DataRoot, Device, Download, Folder, Whole, choose_parts, parts_help, read, take
from ..utils.presets import Preset
from ..utils.processes import joined, started_anew
from ..utils.spelling import did_you_mean
from .checkpoint import start_from
from .device import resolve
from .memory import REMEDY, STEP, step_memory
from .resume import newest_metadata
from .run import CONFIG, RunFolder, flat, has_checkpoint, open_run
from .trainer import Outcome

FLAT = tyro.conf.arg(name="")
# Options that a resumed run does not take.
NOT_RESUMED = ("out", "resume", "config", "init_from", "size", "conditional")


@dataclass(frozen=True)
class RunOptions:
    """Where a run reads and writes, and on what it runs. Not part of the configuration."""

    out: Folder = None
    """Run folder; by default one named like the preset, which --dry-run shows."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"
    dry_run: bool = False
    """Print the whole configuration and the number of parameters, and stop."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """Instead of a preset: a run folder, or a config.json that one holds."""
    init_from: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """Start from the weights of another run: its folder, or a .safetensors checkpoint."""
    resume: Folder = None
    """Go on with this run; its own configuration is used if no preset is named. --epochs and --steps may change;
    in a run of several stages they are those of the first."""


Adapt = Callable[[Any, Any, frozenset[str], Any], Any]
"""(configuration, options, names of the options that were given, such as "--lr", configuration of the preset) ->
configuration."""


@dataclass(frozen=True)
class TrainCommand:
    """`PROGRAM PRESET [options]`, `PROGRAM --config FILE [options]` and `PROGRAM --resume RUN`.

    Args:
        program: what the user types before the preset.
        presets: configurations by name.
        config: their class.
        options: class of the other options.
        kind: of the checkpoints that it resumes.
        network: builds the network of a configuration's `model`.
        folder: where runs go by default.
        adapt: changes the configuration of a new run to what else was asked for.
    """

    program: str
    presets: Mapping[str, Preset[Any]]
    config: type
    options: type[RunOptions]
    kind: str
    network: Callable[[Any], nn.Module]
    folder: Path = Path("runs")
    adapt: Adapt = lambda config, options, given, preset: config

    def run(self, args: list[str], train: Callable[[Any, Any, RunFolder], int]) -> int:
        """Parse the arguments and train, or print help or (--dry-run) the configuration; returns the exit status.

        Processes that torchrun started train together. Started anew, they go on from the last checkpoint.

        Args:
            args: of the command line.
            train: configuration, options and the run folder, which is locked -> exit status.

        Raises:
            ValueError: an unknown preset, what a resumed run does not take, a run folder that is in use or not to be
                written to, or (--dry-run) no network can be built.
        """
        with joined():
            return self._run(args, train)

    def _run(self, args: list[str], train: Callable[[Any, Any, RunFolder], int]) -> int:
        if not args or args[0] in ("-h", "--help"):
            print(self._usage())
            return 0
        config, options = self.parsed(args)
        if options.resume and (options.out != options.resume or options.init_from):
            raise ValueError(
                f"--resume goes on in its own folder {options.resume}, with its own weights; leave --out and "
                "--init-from away"
            )
        out = options.out
        assert out is not None, "`_new` and `_resumed` fill it in"
        if not options.resume and started_anew() and has_checkpoint(out):
            options = replace(options, resume=out, init_from=None)
        if options.dry_run:
            plan = {"configuration": to_dict(config)} | self._figures(config, options) | {"run": asdict(options)}
            print(json.dumps(plan, indent=2, default=str))
            return 0
        run = open_run(out, options.resume is not None)
        config = replace(config, data=located(config.data))
        with run.locked():
            if options.resume:
                self._check_file(run.path, config)
            return train(config, options, run)

    def ending(self, outcome: Outcome, run: RunFolder, options: RunOptions) -> str:
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

    def _figures(self, config: Any, options: RunOptions) -> dict[str, Any]:
        """Of the network, built without its numbers: how many parameters, and the least memory of a training step.

        Raises:
            FileNotFoundError, ValueError: on the CPU, the step does not fit into the memory; or (--init-from) there are
                no weights, or they do not fit.
        """
        with torch.device("meta"):
            network = self.network(config.model)
        needed = step_memory(network, config)
        if resolve(options.device).type == "cpu":
            check_fits(needed, STEP, REMEDY)
        if options.init_from:
            start_from(self.network(config.model), options.init_from, self.kind)
        return {"parameters": sum(p.numel() for p in network.parameters()), "least_memory_of_a_step": gigabytes(needed)}

    def _usage(self) -> str:
        about = {preset.group or name: preset.about for name, preset in self.presets.items()}
        width = max(map(len, about)) + 2
        presets = [f"  {name:{width}}{text}" for name, text in about.items()]
        if self._data():
            presets.append(f"DATA is one of {self._data()}.")
        return "\n".join(
            [
                f"usage: {self.program} PRESET [options]",
                f"       {self.program} --config RUN [options]",
                f"       {self.program} --resume RUN [--epochs EPOCHS | --steps STEPS] [--data PLACE]",
                "\npresets:",
                *presets,
                f"\n{self.program} PRESET --help shows every option with the value that the preset gives it.",
            ]
        )

    def _data(self) -> str:
        """What DATA in the name of a group stands for; empty where there are no groups."""
        return ", ".join(dict.fromkeys(preset.config.data for preset in self.presets.values() if preset.group))

    def _names(self) -> str:
        """The presets, a group by one name."""
        names = ", ".join(dict.fromkeys(preset.group or name for name, preset in self.presets.items()))
        return f"{names}; DATA is one of {self._data()}" if self._data() else names

    def parsed(self, args: list[str]) -> tuple[Any, RunOptions]:
        """The configuration and the other options of a command line; a ValueError if it cannot be read."""
        if not args[0].startswith("-"):
            name = args[0]
            if name not in self.presets:
                raise ValueError(
                    f"unknown preset {name!r}{did_you_mean(name, self.presets)}: choose one of {self._names()}"
                )
            return self._new(name, self.presets[name], args[1:])
        file, rest = take("--config", args, "a run folder or a config.json")
        if file is not None:
            return self._new(*self.saved(Path(file)), rest)
        run, rest = take("--resume", args, "the folder of a run")
        if run is not None:
            return self._resumed(Path(run), rest)
        example = f"{self.program} {next(iter(self.presets))} {args[0]} ..."
        raise ValueError(
            f"put a preset before {args[0]}, or take a run's settings with --config RUN: {example}; the presets: "
            f"{self._names()}"
        )

    def saved(self, path: Path) -> tuple[str, Preset[Any]]:
        """The name and configuration of a run folder or a config.json.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is no configuration of this program.
        """
        file = path / CONFIG if path.is_dir() else path
        if not file.is_file():
            raise FileNotFoundError(f"no configuration at {file}; --config takes a run folder or a config.json")
        config = self._read(file, "take that of another run, or a preset")
        name = file.absolute().parent.name if file.name == CONFIG else file.stem
        return name, Preset(config, f"The configuration of {file}.")

    def _read(self, file: Path, remedy: str) -> Any:
        """A config.json; a ValueError with the remedy if it is none of this program."""
        with reading(file, f"is no configuration for {self.program}", remedy):
            return from_dict(self.config, json.loads(file.read_text()))

    def trained(self, path: Path) -> Any:
        """The configuration of the run in a folder, as its checkpoint holds it.

        Raises:
            FileNotFoundError: no checkpoint.
            ValueError: it is damaged, or that of another kind of training.
        """
        file, metadata = newest_metadata(RunFolder(path, resume=True))
        if "training" not in metadata:
            raise ValueError(f"{file} holds a model and no training run; start one with a preset")
        if metadata.get("kind") != self.kind:
            raise ValueError(f"{file} is of a run of a {metadata.get('kind')!r}, {self.program} resumes {self.kind!r}")
        with reading(file, "holds no configuration of a training that is known", "start a new run"):
            return from_dict(self.config, metadata["training"])

    def _new(self, name: str, preset: Preset[Any], args: list[str]) -> tuple[Any, RunOptions]:
        """A new run, or (with --resume) an old one by its full configuration."""
        if "--config" in (arg.partition("=")[0] for arg in args):
            raise ValueError(f"{name} and --config are two configurations: leave one of them away")
        given = frozenset(arg.partition("=")[0].replace("_", "-") for arg in args if arg.startswith("--"))
        start, args = choose_parts(preset.config, args)
        untouched = self.options()

        def parsed(
            config: Annotated[Any, FLAT] = start,
            options: Annotated[RunOptions, FLAT] = untouched,
        ) -> tuple[Any, RunOptions]:
            return config, replace(options, out=options.out or options.resume or self.folder / name)

        about = f"{preset.about}\n\n{parts_help(start)}".strip()
        program = f"{self.program} {name}"
        config, options = read(
            lambda given: tyro.cli(parsed, prog=program, args=given, description=about), program, args
        )
        if "--epochs" in given and "--steps" not in given:
            config = replace(config, steps=0)  # of a preset, which go before epochs
        return self.adapt(config, options, given, preset.config), options

    def _resumed(self, path: Path, args: list[str]) -> tuple[Any, RunOptions]:
        """The run in this folder, perhaps of another length."""

        untouched = self.options()

        def parsed(
            options: Annotated[RunOptions, FLAT] = untouched,
            epochs: Whole = None,
            steps: Whole = None,
            data: str | None = None,
        ) -> tuple[RunOptions, int | None, int | None, str | None]:
            return options, epochs, steps, data

        def call(given: Sequence[str]) -> Any:
            return tyro.cli(parsed, prog=self.program, args=given, return_unknown_args=True)

        (options, epochs, steps, data), unknown = read(call, self.program, args)
        unknown += [
            f"--{name.replace('_', '-')}"
            for name in NOT_RESUMED
            if name != "out" and getattr(options, name, None) != getattr(untouched, name, None)
        ]
        if unknown:
            known = [f"--{f.name.replace('_', '-')}" for f in fields(self.options) if f.name not in NOT_RESUMED]
            known += ["--epochs", "--steps"]
            found = f"{unknown[0]}{did_you_mean(unknown[0], known)}"
            raise ValueError(
                f"a resumed run keeps its own settings, found {found}: start a new run to change it. "
                f"Besides --resume there may be {', '.join(known)}, and --data where its data have moved to"
            )
        config = self.trained(path)
        if (epochs, steps) != (None, None):
            config = replace(config, epochs=config.epochs if epochs is None else epochs, steps=steps or 0)
        if data is not None:
            config = replace(config, data=data)
        elif os.path.isabs(config.data) and not (os.path.exists(config.data) or means_shards(config.data)):
            raise FileNotFoundError(
                f"{path} was trained on {config.data}, where nothing lies; if that has moved: --resume "
                f"{shlex.quote(str(path))} --data PLACE"
            )
        return config, replace(options, resume=path, out=options.out or path)

    def _check_file(self, path: Path, config: Any) -> None:
        """Raise a ValueError if the config.json of a run has other settings than its checkpoint and than `config`, with
        which it goes on: `RunFolder.start` writes the file anew, and an edit would be lost."""
        file = path / CONFIG
        if not file.exists():
            return
        edited = self._read(file, f"delete it, and {self.program} --resume writes that of the checkpoint")
        trained = self.trained(path)
        if edited in (trained, config):
            return
        there, here = flat(to_dict(trained)), flat(to_dict(edited))
        pairs = ", ".join(
            f"{name}: {here.get(name)} in the file, {there.get(name)} in the checkpoint"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        )
        raise ValueError(
            f"{file} is not what the run was trained with ({pairs}); a run that goes on keeps its settings, but for "
            "--steps and --epochs given beside --resume: delete the file to go on with those of the checkpoint, or "
            f"start a new run with those of the file: {self.program} --config {shlex.quote(str(file))} --out FOLDER"
        )
