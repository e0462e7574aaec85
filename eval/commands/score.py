"""fsvae-tcja score, fsvae-tcja eval score: scores of a checkpoint, a folder, an array or a data set."""

import math
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.table import Table

from fsvae_tcja.core.memory import keep_freed_memory
from fsvae_tcja.data import IMAGE_SETS
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.runtime.pretrained import FOLDER
from fsvae_tcja.runtime.pretrained import names as pretrained
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.options import File, Text, Whole, parse
from fsvae_tcja.utils.outputs import check_out
from fsvae_tcja.utils.processes import joined, own, rank
from fsvae_tcja.utils.streams import tell

from ..beside import CODE_LENGTH, REAL, RECONSTRUCTED
from ..evaluation import evaluate, open_reference
from ..networks import Networks
from ..opening import open_images
from ..protocols import get_protocol
from ..randomness import check_seed
from ..result import Score, save_scores
from .display import UNKNOWN, console, image_bar, images_to_read, told
from .options import ImageOptions, Range


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ImageOptions):
    """Score a checkpoint, a folder, an array or a data set.

    While training: fsvae-tcja train PRESET --score-every EPOCHS --autoencoder FILE.
    """

    images: Annotated[str, tyro.conf.Positional]
    """A run folder or .safetensors checkpoint, a folder of images or tar shards or a split of it (mine:test), an .npz
    or .npy, or a data set (mnist:train)."""
    reference: Text = None
    """What to compare with: any of these, statistics, or the folder that `reference` wrote. Where no split is said,
    that of the protocol is taken, of a data set and of a folder with splits."""
    scores: tuple[str, ...] = ()
    """Names of scores; none takes those whose networks are given (without --reference those that compare with nothing),
    else the protocol's default."""
    n_images: Whole = None  # `--n` would be taken by torchrun
    """Images to score; None takes what the protocol fixes, else all. Of more they are drawn by a fixed permutation."""
    floor: str = "auto"
    """Real images of which as many are scored beside: auto takes the other split of the reference's data set, or what
    is kept with statistics; none takes only what is kept; or any images, of a data set without a split the same one."""
    parts: bool = False
    """Of a checkpoint also the score of its reconstructions of these real images, and the length of its codes."""
    repeats: int = 1
    """Seeds to draw on: mean, spread and 95% interval of the score."""
    bootstrap: int = 0
    """Halves of the images to score, for the same of images that are there already; 100 is usual."""
    seed: Whole = None
    """Seed to draw with, None: 0. For images that are there already: the seed they were drawn with, for the record."""
    reference_range: Range = None
    """Range of floating point pixels of the reference, which have to state it; 8-bit pixels of 0 and 1 are in 0..1."""
    batch: Whole = None
    """Images per batch, where the protocol leaves it free; None: 256."""
    out: File = None
    """A .json file for the scores."""


def main(args: list[str]) -> int:
    """Compute, write and show; started by torchrun the processes share the work, and the first one writes."""
    if "--while-training" in args:
        raise ValueError("scores while training are asked of `fsvae-tcja train PRESET --score-every EPOCHS ...`")
    keep_freed_memory()
    with joined():
        options = parse(ScoreOptions, "fsvae-tcja score", args)
        scores = _scores(options)
        if rank() == 0:
            _report(scores, options.out)
    return 0


def _scores(options: ScoreOptions) -> Sequence[Score]:
    protocol, networks = get_protocol(options.protocol), Networks(**vars(options.networks))
    names = options.scores or networks.usual_scores(protocol, options.reference is not None)
    check_seed(options.seed)
    if rank() == 0:
        if options.out:
            check_out(options.out, ".json")
        _tell_of_model(options.images)
    device = own(resolve(options.device))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"eval\.")  # what they say is shown as notes
        where = options.where | {"device": device}
        with once_per_machine():
            images = open_images(options.images, value_range=options.value_range, seed=options.seed or 0, **where)
            where |= {"beside": images, "value_range": options.reference_range}
            reference = open_reference(options.reference, protocol, **where)
            floor = {"auto": True, "none": False}.get(options.floor, options.floor)
            if isinstance(floor, str):
                floor = open_reference(floor, protocol, **where)
        counts = [protocol.recipe(name).images(options.n_images, images.n) for name in names]
        with image_bar(images_to_read(max(counts, key=lambda n: n or math.inf), reference)) as advance:
            return evaluate(
                images,
                protocol,
                names,
                reference=reference,
                floor=floor,
                parts=options.parts,
                repeats=options.repeats,
                bootstrap=options.bootstrap,
                networks=networks,
                n=options.n_images,
                seed=options.seed,
                batch=options.batch,
                device=device,
                progress=advance,
            )


def _tell_of_model(images: str) -> None:
    """The commands that draw take a name for a pretrained model, and this one for the data set that is called so."""
    if images in IMAGE_SETS and images in pretrained():
        tell(
            f"note: {images} is scored as the data set, its test images ({images}:test); for the pretrained model of "
            f"that name: fsvae-tcja score {shlex.quote(str(FOLDER / images))}"
        )


def _report(scores: Sequence[Score], out: File) -> None:
    if out:
        save_scores(out, scores)
    show(scores)
    if out:
        console().print(f"written to {out}")


def show(scores: Sequence[Score]) -> None:
    """One table, the sizes of the images, and notes."""
    beside = [what for what in (REAL, RECONSTRUCTED) if any(what in score.beside for score in scores)]
    table = Table()
    for name in ("score", "better", "value", "std", *beside, "protocol", "n", "images", "extractor", "reference"):
        table.add_column(name)
    for score in scores:
        spread = "" if score.std is None else f"{score.std:.3g}"
        others = (f"{score.beside[what]['value']:.5g}" if what in score.beside else "" for what in beside)
        extractor = f"{score.extractor_description}, {score.extractor[:8]}"
        first = score.name, score.better or UNKNOWN, f"{score.value:.5g}", spread
        table.add_row(
            *first, *others, score.protocol, str(score.n), score.images, extractor, score.reference_description
        )
    console().print(table)
    for score in scores:
        if score.doubt:
            console().print(f"{score.name}: {told(score.doubt)}")
    for text in dict.fromkeys(_beside(what, one) for score in scores for what, one in score.beside.items()):
        console().print(text)
    for sizes in dict.fromkeys(map(_sizes, scores)):
        console().print(sizes)
    for note in dict.fromkeys(note for score in scores for note in score.notes):
        console().print(f"note: {note}")


def _beside(what: str, one: dict[str, Any]) -> str:
    if what == CODE_LENGTH:
        return f"code length under the prior: {one['value']:.5g} nats an image, of {one['images']}"
    return f"{what}: as many of {one['images']}"


def _sizes(score: Score) -> str:
    compared = "" if score.reference_pixels is None else f"; of the reference: {score.reference_pixels}"
    return f"pixels of the images: {score.pixels}{compared}"
