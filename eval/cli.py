"""python -m eval: score, reference, train-fad, train-classifier, protocols."""

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fsvae_tcja.data.image_sets import IMAGE_SETS
from fsvae_tcja.runtime.device import resolve

from .evaluate import Networks, evaluate, holds_statistics, write_references
from .features import BATCH
from .generators import Source, open_images
from .images import ValueRange
from .processes import launched_by_torchrun, rank, world
from .protocols import PROTOCOLS, get_protocol
from .result import Score, save_scores
from .scores import images_to_score
from .train_cli import TrainClassifierCommand, TrainFADCommand

ProtocolName = Literal["standard", "fsvae2022", "strict"]
WIDTH = 160  # where there is no terminal


@dataclass(frozen=True)
class ScoreCommand:
    """Score images: a folder, an .npz or .npy, or a data set and split such as mnist:train."""

    images: Annotated[str, tyro.conf.Positional]
    """What to score."""
    reference: str | None = None
    """What to compare with: images as above, statistics, or the folder that `reference` wrote."""
    protocol: ProtocolName = "strict"
    """What is fixed; see `protocols`."""
    scores: tuple[str, ...] = ()
    """Names of scores; none takes the protocol's default."""
    networks: Networks = field(default_factory=Networks)
    """Weights."""
    n_images: int | None = None  # `--n` would be taken by torchrun
    """Images to score; None takes what the protocol fixes, else all."""
    seed: int | None = None
    """Seed that the images were drawn with, for the record."""
    value_range: ValueRange | None = None
    """Range of floating point pixels, which have to state it."""
    reference_range: ValueRange | None = None
    """The same for the reference."""
    size: int | None = None
    """Size of data sets (None: 32) and folders (None: their own); part of the score."""
    data_root: Path | None = None
    """Where data sets lie; None: $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing data sets."""
    batch: int = BATCH
    """Images per batch where the protocol leaves it free."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    out: Path | None = None
    """A .json file for the scores."""

    def open_images(self, device: torch.device) -> Source:
        """What `images` names."""
        return open_images(self.images, value_range=self.value_range, **self._where)

    def open_reference(self, device: torch.device) -> Source | str | None:
        """What `reference` names; statistics stay a path."""
        return _reference(self.reference, self.protocol, self.reference_range, **self._where)

    @property
    def _where(self) -> dict[str, Any]:
        return {"size": self.size, "root": self.data_root, "download": self.download}

    def run(self) -> None:
        """Compute, show and write."""
        protocol = get_protocol(self.protocol)
        if self.out:
            check_writable(self.out, ".json")
        with launched_by_torchrun(resolve(self.device)) as device, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"eval\.")  # what they say is shown as notes
            images, reference = self.open_images(device), self.open_reference(device)
            names = self.scores or protocol.default
            counts = [images_to_score(protocol.recipe(name), self.n_images, images.n, images.name) for name in names]
            with progress_bar("images", _share(max(counts, key=lambda n: n or math.inf), reference)) as advance:
                scores = evaluate(
                    images,
                    protocol,
                    names,
                    reference=reference,
                    networks=self.networks,
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


@dataclass(frozen=True)
class ReferenceCommand:
    """Make statistics of reference images, for the Frechet distances of a protocol."""

    images: Annotated[str, tyro.conf.Positional]
    """A data set, a folder, an .npz or .npy."""
    out: Path
    """Folder for the statistics, one file per score."""
    protocol: ProtocolName = "strict"
    """What is fixed."""
    scores: tuple[str, ...] = ("FAD",)
    """For which scores."""
    networks: Networks = field(default_factory=Networks)
    """Weights."""
    value_range: ValueRange | None = None
    """Range of floating point pixels, which have to state it."""
    size: int | None = None
    """Size of data sets (None: 32) and folders (None: their own); part of the statistics."""
    data_root: Path | None = None
    """Where data sets lie; None: $FSVAE_TCJA_DATA, else ./data."""
    download: bool = False
    """Fetch missing data sets."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""

    def run(self) -> None:
        with launched_by_torchrun(resolve(self.device)) as device:
            where = {"size": self.size, "root": self.data_root, "download": self.download}
            images = _reference(self.images, self.protocol, self.value_range, **where)
            with progress_bar("images", _share(0, images)) as advance:
                paths = write_references(
                    images,
                    get_protocol(self.protocol),
                    self.scores,
                    self.out,
                    networks=self.networks,
                    device=device,
                    progress=advance,
                )
            first = rank() == 0
        for path in paths if first else ():
            console().print(f"written to {path}")


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


def _reference(what: str | None, protocol: str, value_range: ValueRange | None, **where: Any) -> Source | str | None:
    """Statistics stay paths, images are opened; a data set without a split takes the protocol's."""
    if what is None or holds_statistics(what):
        return what
    if what in IMAGE_SETS:
        what = f"{what}:{get_protocol(protocol).split_of(what)}"
    return open_images(what, value_range=value_range, **where)


def _share(scored: int | None, reference: Source | str | None) -> int | None:
    """Images that this process reads, about; None: unknown. As many are drawn of an endless reference as are scored."""
    if reference is None or isinstance(reference, str):
        return None if scored is None else math.ceil(scored / world())
    compared = scored if reference.endless else reference.n
    return None if scored is None or compared is None else math.ceil((scored + compared) / world())


def main(arguments: Sequence[str] | None = None) -> None:
    """The program. Bad input is reported in one line and exits with 2."""
    commands = {
        "score": ScoreCommand,
        "reference": ReferenceCommand,
        "train-fad": TrainFADCommand,
        "train-classifier": TrainClassifierCommand,
        "protocols": ProtocolsCommand,
    }
    command = tyro.extras.subcommand_cli_from_dict(commands, prog="python -m eval", args=arguments)
    try:
        command.run()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
