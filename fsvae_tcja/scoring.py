"""Scores of the FSVAE: checkpoints as sources of images, and scores while training. eval itself knows no model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from eval.cli import ScoreCommand, progress_bar
from eval.evaluate import Networks, make_tasks
from eval.generators import IndexedImages, Source
from eval.protocols import Protocol, get_protocol
from eval.provenance import tensors_sha256
from eval.result import save_scores
from eval.scores import compute, images_to_score
from eval.stats import KIND, REFERENCE_SEED

from .data.image_sets import IMAGE_SETS
from .data.load import load_images
from .runtime import checkpoint
from .runtime.run import RunFolder
from .scoring_options import ScoringOptions
from .vae import FSVAE, load
from .vae.sample import stream
from .vae.train import TrainConfig

SCORED = 1000  # images drawn for a score while training, where the protocol leaves it free


@dataclass(frozen=True)
class ScoreCheckpoint(ScoreCommand):
    """Score a checkpoint, a folder, an array or a data set.

    While training: fsvae-tcja train PRESET --score-every EPOCHS --autoencoder FILE.
    """

    images: Annotated[str, tyro.conf.Positional]
    """A run folder or .safetensors checkpoint, a folder of images, an .npz or .npy, or a data set (mnist:train)."""
    reference: str | None = None
    """What to compare with: any of these, statistics, or the folder that `python -m eval reference` wrote."""
    seed: int | None = None
    """Seed to draw with, None: 0. For images that are there already: the seed they were drawn with, for the record."""

    def run(self) -> None:
        if self.seed is None and _checkpoint(self.images):
            replace(self, seed=0).run()
        else:
            super().run()

    def open_images(self, device: torch.device) -> Source:
        path = _checkpoint(self.images)
        return _drawing(path, self.seed, device) if path else super().open_images(device)

    def open_reference(self, device: torch.device) -> Source | str | None:
        path = _checkpoint(self.reference) if self.reference else None
        return _drawing(path, REFERENCE_SEED, device) if path else super().open_reference(device)


def _checkpoint(what: str) -> Path | None:
    """The checkpoint that a run folder or a .safetensors file holds; None: it is something else."""
    if what in IMAGE_SETS:
        return None  # a folder of that name is ./mnist
    path = Path(what).expanduser()
    path = path / "model.safetensors" if (path / "model.safetensors").is_file() else path
    if path.suffix != ".safetensors" or not path.is_file() or checkpoint.read_metadata(path).get("kind") == KIND:
        return None
    return path


def _drawing(path: Path, seed: int, device: torch.device) -> Source:
    model, metadata = load(path, device), checkpoint.read_metadata(path)
    name = f"{metadata['kind']} on {metadata.get('data', 'unknown data')}, step {metadata.get('step', 'unknown')}"
    return drawn_from(model, seed, f"{name}, {tensors_sha256(model.state_dict())[:8]}, seed {seed}")


def drawn_from(model: FSVAE, seed: int, name: str) -> Source:
    """A model as a source of images: image i depends on (seed, i) alone."""
    return IndexedImages(name, None, lambda start, n: torch.cat(list(stream(model, n, seed, first=start))), "-1..1")


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
    protocol = get_protocol(options.score_protocol or "strict")
    networks = Networks(autoencoder=options.autoencoder, classifier=options.classifier)
    recipes = [protocol.recipe(name) for name in options.scores or _usual_scores(protocol, networks)]
    n = options.score_n or (None if any(recipe.n for recipe in recipes) else SCORED)
    for recipe in recipes:
        images_to_score(recipe, n, None, "the model")
    reference = None
    if any(recipe.compares for recipe in recipes):
        reference = load_images(config.data, protocol.split_of(config.data), **where)
    with progress_bar("reference images", len(reference or ())) as advance:
        tasks = make_tasks(recipes, reference=reference, networks=networks, device=device, progress=advance)

    def score(epoch: int, model: FSVAE) -> dict[str, float]:
        if epoch % options.score_every:
            return {}
        source = drawn_from(model, config.seed, f"{run.path.name}, epoch {epoch}")
        scores = compute(source, tasks, n=n, seed=config.seed)
        save_scores(run.path / "scores" / f"epoch-{epoch:03d}.json", scores)
        return {f"{one.name}_{one.protocol}".lower().replace("-", "_"): one.value for one in scores}

    return score


def _usual_scores(protocol: Protocol, networks: Networks) -> tuple[str, ...]:
    """Those whose networks are given, else the protocol's default."""
    given = {name for name in ("autoencoder", "classifier") if getattr(networks, name) is not None}
    return tuple(recipe.score for recipe in protocol.recipes if recipe.extractor in given) or protocol.default
