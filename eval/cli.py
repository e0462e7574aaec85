"""fsvae-tcja eval (python -m eval): scores, references, comparisons, protocols, and the networks of the scores."""

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fsvae_tcja.data.load import load_images
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.utils.spelling import choose

from .evaluation import evaluate, open_reference, write_references
from .features import BATCH
from .images import ValueRange
from .networks import NETWORKS, Networks
from .networks.autoencoder import DIGITS_TRAINING, FULL_TRAINING, Autoencoder, train_autoencoder
from .networks.classifier import CLASSIFIER_TRAINING, DIGITS_CLASSIFIER_TRAINING, Classifier, train_classifier
from .processes import launched_by_torchrun, rank, world
from .protocols import PROTOCOLS, get_protocol
from .randomness import check_seed
from .result import Score, load_scores, save_scores, side_by_side
from .sources import Source, open_images
from .training import TrainingConfig

PROGRAM = "fsvae-tcja eval"
WIDTH = 160  # where there is no terminal

NetworkFiles = make_dataclass(
    "NetworkFiles",
    [
        *((one.option, Annotated[Path | None, tyro.conf.arg(help=one.about)], None) for one in NETWORKS.values()),
        ("download", Annotated[bool, tyro.conf.arg(help="Fetch published weights that are nowhere.")], False),
    ],
    frozen=True,
)
"""Options --networks.*, one for each of NETWORKS."""


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What commands that look at images have in common."""

    protocol: Annotated[str, tyro.conf.arg(help=f"What is fixed: {', '.join(PROTOCOLS)}; see `protocols`.")] = "strict"
    networks: NetworkFiles = field(default_factory=NetworkFiles)  # type: ignore[valid-type]
    """Weights."""
    value_range: ValueRange | None = None
    """Range of floating point pixels, which have to state it."""
    size: int | None = None
    """Size of data sets (None: 32) and folders (None: their own); part of the score."""
    data_root: Path | None = None
    """Where data sets lie; None: $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing data sets."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""

    @property
    def where(self) -> dict[str, Any]:
        """How images are opened."""
        return {"size": self.size, "root": self.data_root, "download": self.download}


@dataclass(frozen=True, kw_only=True)
class ScoreCommand(_Options):
    """Score a checkpoint, a folder, an array or a data set.

    While training: fsvae-tcja train PRESET --score-every EPOCHS --autoencoder FILE.
    """

    images: Annotated[str, tyro.conf.Positional]
    """A run folder or .safetensors checkpoint, a folder of images or a split of it (mine:test), an .npz or .npy, or a
    data set (mnist:train)."""
    reference: str | None = None
    """What to compare with: any of these, statistics, or the folder that `reference` wrote."""
    scores: tuple[str, ...] = ()
    """Names of scores; none takes those whose networks are given, else the protocol's default."""
    n_images: int | None = None  # `--n` would be taken by torchrun
    """Images to score; None takes what the protocol fixes, else all."""
    seed: int | None = None
    """Seed to draw with, None: 0. For images that are there already: the seed they were drawn with, for the record."""
    reference_range: ValueRange | None = None
    """Range of floating point pixels of the reference, which have to state it."""
    batch: int = BATCH
    """Images per batch where the protocol leaves it free."""
    out: Path | None = None
    """A .json file for the scores."""

    def run(self) -> None:
        """Compute, write and show."""
        protocol, networks = get_protocol(self.protocol), Networks(**vars(self.networks))
        names = self.scores or networks.usual_scores(protocol)
        check_seed(self.seed)
        if self.out:
            check_writable(self.out, ".json")
        with launched_by_torchrun(resolve(self.device)) as device, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"eval\.")  # what they say is shown as notes
            where = self.where | {"device": device}
            images = open_images(self.images, value_range=self.value_range, seed=self.seed or 0, **where)
            reference = open_reference(self.reference, protocol, value_range=self.reference_range, **where)
            counts = [protocol.recipe(name).images(self.n_images, images.n) for name in names]
            with progress_bar("images", _share(max(counts, key=lambda n: n or math.inf), reference)) as advance:
                scores = evaluate(
                    images,
                    protocol,
                    names,
                    reference=reference,
                    networks=networks,
                    n=self.n_images,
                    seed=self.seed,
                    batch=self.batch,
                    device=device,
                    progress=advance,
                )
            first = rank() == 0
        if first:
            if self.out:
                save_scores(self.out, scores)
            show(scores)
            if self.out:
                console().print(f"written to {self.out}")


@dataclass(frozen=True, kw_only=True)
class ReferenceCommand(_Options):
    """Make statistics of reference images, for the Frechet distances of a protocol."""

    images: Annotated[str, tyro.conf.Positional]
    """A data set, a folder, an .npz or .npy."""
    out: Path
    """Folder for the statistics, one file per score."""
    scores: tuple[str, ...] = ("FAD",)
    """For which scores."""

    def run(self) -> None:
        """Compute and write."""
        protocol, networks = get_protocol(self.protocol), Networks(**vars(self.networks))
        with launched_by_torchrun(resolve(self.device)) as device:
            images = open_reference(self.images, protocol, value_range=self.value_range, **self.where)
            with progress_bar("images", _share(0, images)) as advance:
                options = {"networks": networks, "device": device, "progress": advance}
                paths = write_references(images, protocol, self.scores, self.out, **options)
            first = rank() == 0
        for path in paths if first else ():
            console().print(f"written to {path}")


@dataclass(frozen=True)
class CompareCommand:
    """Compare the scores in two files, such as those of two generators."""

    a: Annotated[Path, tyro.conf.Positional]
    """A .json that `score` wrote."""
    b: Annotated[Path, tyro.conf.Positional]
    """Another."""

    def run(self) -> None:
        """Show both sides; raise ValueError for scores that cannot be compared."""
        table, refused = Table(), []
        for name in ("score", "protocol", "n", "A", "B", "B - A"):
            table.add_column(name)
        for a, b in side_by_side(load_scores(self.a), load_scores(self.b)):
            both = [score for score in (a, b) if score is not None]
            name, difference = both[0].name, ""
            if a and b:
                try:
                    difference = f"{b - a:+.5g}"
                except ValueError as error:
                    refused.append(f"{name}: {error}")
            n = ", ".join(dict.fromkeys(str(score.n) for score in both))
            table.add_row(name, both[0].protocol, n, _value(a), _value(b), difference)
        console().print(table)
        console().print(f"A: {self.a}\nB: {self.b}")
        if refused:
            raise ValueError("\n".join(refused))


@dataclass(frozen=True)
class _TrainCommand:
    data: Annotated[str, tyro.conf.Positional]
    """A data set or a folder of images."""
    out: Path
    """The .safetensors file to write."""
    epochs: int | None = None
    """Passes over the training split; None: what suits the data set."""
    batch_size: int | None = None
    """Images per step; None: what suits the data set."""
    lr: float | None = None
    """Learning rate of AdamW; None: 1e-3."""
    latent: int | None = None
    """Length of the feature vector; None: the network's own."""
    seed: int = 0
    """Owner of all randomness."""
    size: int = 32
    """32 or 64 pixels."""
    data_root: Path | None = None
    """Where data sets lie; None: $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing data sets."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""

    def config(self, default: TrainingConfig) -> TrainingConfig:
        names = ("epochs", "batch_size", "lr", "latent")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(default, seed=self.seed, device=str(resolve(self.device)), **given)


@dataclass(frozen=True)
class TrainFADCommand(_TrainCommand):
    """Train the autoencoder of the FAD."""

    def run(self) -> None:
        config = self.config(DIGITS_TRAINING if self.data == "digits" else FULL_TRAINING)
        _train(self, train_autoencoder, config, "test_mse")


@dataclass(frozen=True)
class TrainClassifierCommand(_TrainCommand):
    """Train the classifier of the domain scores."""

    def run(self) -> None:
        config = self.config(DIGITS_CLASSIFIER_TRAINING if self.data == "digits" else CLASSIFIER_TRAINING)
        _train(self, train_classifier, config, "test_accuracy")


@dataclass(frozen=True)
class ProtocolsCommand:
    """Show what each protocol fixes."""

    def run(self) -> None:
        for protocol in PROTOCOLS.values():
            table = Table(title=f"{protocol.name}: {protocol.about}", title_justify="left")
            table.add_column("")
            for recipe in protocol.recipes:
                table.add_column(recipe.score)
            rows = [recipe.as_dict() for recipe in protocol.recipes]
            for name in rows[0]:
                if name not in ("protocol", "score"):
                    table.add_row(
                        name.replace("_", " "), *("-" if row[name] is None else str(row[name]) for row in rows)
                    )
            console().print(table)


def console() -> Console:
    """Standard output, wide enough for a table if it is no terminal; names are printed as they are."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, soft_wrap=True, markup=False, emoji=False)


def show(scores: Sequence[Score]) -> None:
    """One table, the sizes of the images, and notes."""
    table = Table()
    for name in ("score", "value", "±", "protocol", "n", "images", "extractor", "reference"):
        table.add_column(name)
    for score in scores:
        spread = "" if score.std is None else f"{score.std:.3g}"
        extractor = f"{score.extractor_description}, {score.extractor[:8]}"
        table.add_row(
            *(score.name, f"{score.value:.5g}", spread, score.protocol, str(score.n), score.images),
            *(extractor, score.reference_description),
        )
    console().print(table)
    for sizes in dict.fromkeys(map(_sizes, scores)):
        console().print(sizes)
    for note in dict.fromkeys(note for score in scores for note in score.notes):
        console().print(f"note: {note}")


def _sizes(score: Score) -> str:
    compared = "" if score.reference_pixels is None else f"; of the reference: {score.reference_pixels}"
    return f"pixels of the images: {score.pixels}{compared}"


def _value(score: Score | None) -> str:
    return "" if score is None else f"{score.value:.5g}" + ("" if score.std is None else f" ± {score.std:.3g}")


@contextmanager
def progress_bar(unit: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar on the first process, if it has a terminal; yields a function (count) -> None."""
    columns = (
        TextColumn(unit),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    hidden = rank() != 0 or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count, text="": bar.update(task, advance=count, description=text)


def check_writable(path: Path, suffix: str) -> None:
    """Raise ValueError, before hours of work, if a file could not be written there."""
    if path.suffix != suffix:
        raise ValueError(f"cannot write {path}: its name must end in {suffix}")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file")
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ValueError(f"cannot write {path}: {parent} is no folder that may be written to")


def _share(scored: int | None, reference: Any) -> int | None:
    """Images that this process reads, about; None: unknown. As many are drawn of an endless reference as are scored."""
    if not isinstance(reference, Source):
        return None if scored is None else math.ceil(scored / world())
    compared = scored if reference.endless else reference.n
    return None if scored is None or compared is None else math.ceil((scored + compared) / world())


def _train(
    command: _TrainCommand, train: Callable[..., Autoencoder | Classifier], config: TrainingConfig, figure: str
) -> None:
    """Train and write; Ctrl-C keeps the last whole epoch and exits with 130."""
    from fsvae_tcja.runtime.loop import stop_signal  # brings tensorboard

    check_writable(command.out, ".safetensors")
    where = {"size": command.size, "root": command.data_root, "download": command.download}
    train_set, test_set = (load_images(command.data, split, **where) for split in ("train", "test"))
    with progress_bar("epochs", config.epochs) as advance, stop_signal() as received:
        network = train(
            train_set,
            config,
            test=test_set,
            progress=lambda epoch, loss: advance(1, f"loss {loss:.4f}"),
            stop=lambda: bool(received),
        )
        network.save(command.out)
    epochs = network.provenance["epochs"]
    stopped = f"stopped after epoch {epochs} of {config.epochs}, " if epochs < config.epochs else ""
    told = f"{figure.replace('_', ' ')} {network.provenance[figure]:.4f}"
    console().print(f"{stopped}written to {command.out}: {told}")
    if stopped:
        sys.exit(130)


COMMANDS = {
    "score": ScoreCommand,
    "reference": ReferenceCommand,
    "compare": CompareCommand,
    "protocols": ProtocolsCommand,
    "train-fad": TrainFADCommand,
    "train-classifier": TrainClassifierCommand,
}


def parse(command: Any, program: str, args: Sequence[str]) -> Any:
    """Build a command from its arguments, or print its help and exit."""
    return tyro.cli(command, prog=program, args=args)


def score(args: list[str]) -> int:
    """`fsvae-tcja score`: score a checkpoint, a folder, an array or a data set; returns the exit status."""
    if "--while-training" in args:
        raise ValueError("scores while training are asked of `fsvae-tcja train PRESET --score-every EPOCHS ...`")
    parse(ScoreCommand, "fsvae-tcja score", args).run()
    return 0


def main(args: list[str]) -> int:
    """`fsvae-tcja eval`, `python -m eval`: a command of COMMANDS; returns the exit status, 2 for wrong input."""
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0
    try:
        command = choose(COMMANDS, args[0], "command")
        if command is ScoreCommand:
            return score(args[1:])
        parse(command, f"{PROGRAM} {args[0]}", args[1:]).run()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:18}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND [options]", "", *lines, "", f"{PROGRAM} COMMAND --help says more."])
