"""fsvae-tcja publish: a run as a folder to hand on, with its card."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import tyro

from ..data.names import short_name
from ..report.run import Run
from ..runtime import checkpoint
from ..runtime.pictures import save_grid
from ..runtime.run import MODEL
from ..utils.atomic import check_writable, replacing
from ..utils.foreign import reading
from ..utils.options import parse
from ..vae.card import card_of
from ..vae.checkpoint import for_drawing, load, save
from ..vae.model import CARD
from ..vae.sample import sample

if TYPE_CHECKING:
    from eval import Score

MADE_OF = "SHA-256 of the run's tensors"  # as the card calls it
PICTURE, DRAWN = "samples.png", 64  # what the card shows: so many images of seed 0


@dataclass(frozen=True)
class PublishOptions:
    """Write the model of a run, 64 images that it draws, and a card into a folder to hand on, which
    `FSVAE.from_pretrained` reads.

    Scores belong to a file: publish, score the published model (`score OUT --out score.json`), and publish again with
    --scores. Sections that you wrote into the card stay, and --command where it is not given again.
    """

    run: tyro.conf.Positional[Path]
    """A run folder."""
    out: Path
    """The folder. One that holds another model is refused."""
    half: bool = False
    """Half precision, without what only training needs."""
    scores: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """Scores of the published model, as `score --out` writes them."""
    command: str = ""
    """The command that made the run, for the card."""


def main(args: list[str]) -> int:
    """Write the folder."""
    from eval import load_scores
    from eval.provenance import tensors_sha256

    options = parse(PublishOptions, "fsvae-tcja publish", args)
    run = Run(options.run)
    scores = [score for file in options.scores for score in load_scores(file)]
    file, place, step = options.out / MODEL, options.out / CARD, run.metadata.get("step")
    source = tensors_sha256(run.model.state_dict())
    before = _card_before(file, place, source)
    if scores:
        _check_scored(scores, run, options)
    save(run.model, file, half=options.half, data=short_name(run.data), step=step, made_of=source)
    facts = ({} if step is None else {"steps": f"{step:,}"}) | {"seed": str(run.seed), MADE_OF: source}
    if mse := run.last("test_mse"):
        facts["reconstruction MSE"] = f"{mse:.4f} (range [-1, 1], images of the test split)"
    facts["SHA-256 of its tensors"] = tensors_sha256(checkpoint.read(file, "model.")[0])
    model = for_drawing(run.model) if options.half else run.model
    card = card_of(
        model,
        name=options.out.resolve().name,
        data=short_name(run.data),
        command=options.command,
        facts=facts,
        scores=[str(score) for score in scores],
        picture=(PICTURE, f"the first {DRAWN} images of seed 0"),
        before=before,
    )
    save_grid(sample(load(file), DRAWN), options.out / PICTURE, columns=8)
    with replacing(place) as temporary:
        temporary.write_text(card, encoding="utf-8")
    print(f"{options.out}: {file.stat().st_size / 1e6:.2f} MB")
    return 0


def _check_scored(scores: Sequence["Score"], run: Run, options: PublishOptions) -> None:
    """Raise a ValueError if one of the scores is not of the model as it is published."""
    from eval.provenance import tensors_sha256

    with TemporaryDirectory() as folder:
        save(run.model, Path(folder) / MODEL, half=options.half)
        called = tensors_sha256(load(Path(folder) / MODEL).state_dict())[:8]  # what scores call it
    for score in scores:
        if f", {called}, " not in score.images:
            raise ValueError(
                f"{score.name} {score.value:.5g} is of {score.images}, which does not name the published model, "
                f"{called}; publish it without --scores, score it (fsvae-tcja score {shlex.quote(str(options.out))} "
                "--out FILE), and publish it again with --scores FILE"
            )


def _card_before(file: Path, place: Path, source: str) -> str:
    """The card that lies in a folder, "" if there is none; nothing is written yet.

    Raises:
        ValueError: the folder cannot be written to, its model was not made of the tensors of hash `source`, its card is
            that of something else or cannot be read, or its picture is none of the card.
    """
    picture = place.with_name(PICTURE)
    check_writable(file, ".safetensors")
    check_writable(place, ".md")
    check_writable(picture, ".png")
    if file.exists() and checkpoint.read_metadata(file).get("made_of") != source:
        raise ValueError(f"{file} is another model; choose another --out, or delete it")
    card = _read_card(place)
    if card and not file.exists() and f"- {MADE_OF}: {source}\n" not in card:
        raise ValueError(f"{place} is no card of this model; choose another --out, or delete it")
    if picture.exists() and f"]({PICTURE})" not in card:
        raise ValueError(f"{picture} is no picture of a card; choose another --out, or give it another name")
    return card


def _read_card(place: Path) -> str:
    if not place.exists():
        return ""
    with reading(place, "is no card that can be read", "save it as UTF-8, or delete it"):
        return place.read_text(encoding="utf-8")
