"""Scores while training: what can be asked for, how a run folder remembers it, and the scoring itself."""

import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from ..data.load import load_images
from ..runtime.callbacks import Callback
from ..runtime.pretrained import located
from ..runtime.run import SCORES, RunFolder
from ..runtime.trainer import Trainer
from ..utils.atomic import write_json
from ..utils.configuration import from_dict
from ..utils.foreign import reading
from ..utils.once import warn_once
from ..utils.one_copy import once_per_machine
from ..utils.options import File, Whole
from ..utils.progress import progress
from ..vae.model import FSVAE
from ..vae.train import TrainConfig

FILE = "scoring.json"
log = logging.getLogger(__name__)
SCORED = 1000  # images drawn for a score while training, where the protocol leaves it free


@dataclass(frozen=True)
class ScoringOptions:
    """Scores while training, of images drawn on the seed of the run. A resumed run goes on with them."""

    score_every: Whole = None
    """Epochs between two scorings of the model, a multiple of --evaluate-every; 0: none. --resume remembers the options
    of the scores."""
    score_protocol: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What is fixed, see `fsvae-tcja eval protocols`; None: strict."""
    score_n: Whole = None
    """Images drawn; None: what the protocol fixes, else 1,000."""
    scores: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME...")] = None
    """Names; None: FAD with --autoencoder, the domain scores with --classifier, else the protocol's default."""
    autoencoder: File = None
    """The network of the FAD; `fsvae-tcja eval train-fad` makes one."""
    classifier: File = None
    """The network of the domain scores; `fsvae-tcja eval train-classifier` makes one."""

    @property
    def given(self) -> dict[str, int | str | tuple[str, ...]]:
        """What is not None, as plain data."""
        values = {f.name: getattr(self, f.name) for f in fields(ScoringOptions)}
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items() if v is not None}

    def check(self) -> None:
        """Raise ValueError if scores are asked for without saying how often."""
        every = self.score_every
        if self.given and (not isinstance(every, int) or every < 0):
            raise ValueError(
                f"--score-every must say how many epochs lie between two scores, or 0 for none; found {every}"
            )

    def complete(self, run: RunFolder, resume: bool) -> "ScoringOptions":
        """The options given now, over those that a resumed run remembers.

        Raises:
            ValueError: what it remembers is damaged, or scores are asked for without saying how often.
        """
        file = run.path / FILE
        with reading(file, "is damaged", "delete it and say again what to score"):
            before = json.loads(file.read_text()) if resume and file.is_file() else {}
            from_dict(ScoringOptions, before).check()
            options = from_dict(ScoringOptions, before | self.given)
        options.check()
        return replace(
            options, **{name: _absolute(name, getattr(options, name)) for name in ("autoencoder", "classifier")}
        )

    def remember(self, run: RunFolder) -> None:
        """Write down what is given, for `complete`."""
        if not self.given:
            (run.path / FILE).unlink(missing_ok=True)
            return
        write_json(run.path / FILE, self.given)


class Remember(Callback):
    """Writes the options of the scores down as the training starts: one that is refused leaves them as they were."""

    def __init__(self, options: ScoringOptions) -> None:
        self.options = options

    def start(self, trainer: Trainer) -> None:
        self.options.remember(trainer.run)


def _absolute(network: str, path: str | Path | None) -> Path | None:
    """The file of a network, which may be given by the name of a pretrained model."""
    return None if path is None else located(path, f"{network}.safetensors").expanduser().absolute()


@dataclass(frozen=True)
class Plan:
    """What is scored, checked: the protocol, the names of the scores, the networks, the number of images."""

    protocol: Any
    names: tuple[str, ...]
    recipes: list[Any]
    networks: Any
    n: int | None


def planned(options: ScoringOptions, config: TrainConfig, device: torch.device) -> Plan:
    """The plan of these options for the images of a run, tried on two of them.

    Raises:
        FileNotFoundError: weights that are not there.
        ValueError: scores that do not go with the protocol, the number of images, their size or their colours, or
            damaged weights.
    """
    options.check()
    if options.score_every and options.score_every % config.evaluate_every:
        raise ValueError(
            f"--score-every must be a multiple of --evaluate-every {config.evaluate_every}, found "
            f"{options.score_every}: epochs that are not evaluated are not scored"
        )
    from eval import Networks, get_protocol

    protocol = get_protocol(options.score_protocol or "strict")
    networks = Networks(autoencoder=options.autoencoder, classifier=options.classifier)
    names = options.scores or networks.usual_scores(protocol)
    recipes = [protocol.recipe(name) for name in names]
    n = options.score_n or (None if any(recipe.n for recipe in recipes) else SCORED)
    for recipe in recipes:
        recipe.images(n)
    shape = (2, config.model.in_channels, config.model.image_size, config.model.image_size)
    for extractor in {id(one): one for one in networks.load(recipes, device)}.values():
        with torch.inference_mode():
            extractor.features(torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator()).to(device))
    return Plan(protocol, tuple(names), recipes, networks, n)


def scorer(
    options: ScoringOptions, config: TrainConfig, device: torch.device, run: RunFolder, where: dict[str, Any]
) -> Callable[[int, FSVAE], dict[str, float]]:
    """Scores every so many epochs, on the seed of the run, in full in scores/; the training's randomness is left alone.

    Args:
        options: which scores, and when.
        config: the run.
        device: where to compute.
        run: the folder that takes the scores.
        where: keywords of `load_images`, for the reference.

    Returns:
        what `FSVAETask` calls after each epoch, counted from 1; it gives {"fad_strict": ...}, or nothing.

    Raises:
        FileNotFoundError: weights or data that are not there.
        ValueError: scores that do not go with the protocol, the data or the number of images.
    """
    from eval import evaluate, make_references, save_scores
    from eval.checkpoints import drawn_from

    every = options.score_every
    assert every, "asked for no scores"
    plan = planned(options, config, device)
    protocol, names, networks, n = plan.protocol, plan.names, plan.networks, plan.n
    references: dict[str, Any] = {}
    for split in dict.fromkeys(recipe.split_of(config.data) for recipe in plan.recipes if recipe.compares):
        some = [recipe.score for recipe in plan.recipes if recipe.compares and recipe.split_of(config.data) == split]
        with once_per_machine():
            images = load_images(config.data, split or "test", **where)
        with progress("reference", len(images), "images") as bar:
            references |= make_references(
                images, protocol, some, networks=networks, device=device, progress=bar.advance
            )

    def score(epoch: int, model: FSVAE) -> dict[str, float]:
        if epoch % every:
            return {}
        source = drawn_from(model, config.seed, f"{run.path.resolve().name}, epoch {epoch}")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"eval\.")  # what they say, the notes say
            to = references or None
            scores = evaluate(
                source, protocol, names, reference=to, networks=networks, n=n, seed=config.seed, device=device
            )
        for note in [note for one in scores for note in one.notes]:
            warn_once(log, note)
        save_scores(run.path / SCORES / f"epoch-{epoch:03d}.json", scores)
        return {f"{one.name}_{one.protocol}".lower().replace("-", "_"): one.value for one in scores}

    return score
