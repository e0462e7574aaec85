"""fsvae-tcja train: train an FSVAE by a preset, or go on with a run."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..data import IMAGE_SETS, LabelledDataset, limited, load_images
from ..data.image_sets import absent
from ..data.root import data_root
from ..runtime.callbacks import KeepMemory
from ..runtime.command import RunOptions, TrainCommand
from ..runtime.device import resolve
from ..runtime.run import RunFolder
from ..runtime.trainer import Trainer
from ..utils.one_copy import once_per_machine
from ..utils.printable import shown
from ..utils.processes import own
from ..utils.program import check_not_hidden
from ..utils.streams import tell
from ..vae.checkpoint import KIND
from ..vae.config import FSVAEConfig
from ..vae.latent import Escape
from ..vae.model import FSVAE
from ..vae.own_images import sized
from ..vae.presets import PRESETS
from ..vae.train import FSVAETask, TrainConfig
from ..vae.watch import Watch
from .scoring import Remember, ScoringOptions, planned, scorer


@dataclass(frozen=True)
class TrainOptions(RunOptions, ScoringOptions):
    """What `train` takes besides the configuration."""

    size: int = 0
    """Height and width of the images in pixels, 32 or 64, with blocks and channels to suit; 0: as configured."""
    conditional: bool = False
    """The prior learns the labels of the images, for `sample --label`; with the latent Escape."""


def _fit_to_images(config: TrainConfig, options: TrainOptions, given: frozenset[str]) -> TrainConfig:
    """The model for images of --size; in a folder of one's own also for their colours, unless these are given."""
    model = _of_size(config.model, options.size, given) if options.size else config.model
    if config.data not in IMAGE_SETS and "--model.in-channels" not in given:
        with once_per_machine():
            images = load_images(config.data, size=model.image_size, root=options.data_root)
        model = replace(model, in_channels=images.channels)
        found = f"{len(images):,} {'grey' if images.channels == 1 else 'colour'} images of {shown(config.data)}"
        tell(f"{found}, at {images.size} pixels (--size)")
    if options.conditional:
        with once_per_machine():
            images = load_images(config.data, size=model.image_size, root=options.data_root)
        model = _conditional(model, images)
    return replace(config, model=model)


def _of_size(model: FSVAEConfig, size: int, given: frozenset[str]) -> FSVAEConfig:
    """The model for images of --size; what was given of its blocks is never changed in silence."""
    made = sized(model, size)
    values = {
        "--model.channels": (model.channels, made.channels),
        "--model.tcja.encoder": (model.tcja.encoder, made.tcja.encoder),
        "--model.tcja.decoder": (model.tcja.decoder, made.tcja.decoder),
    }
    if odd := [f"{name} {list(now)}" for name, (now, then) in values.items() if name in given and now != then]:
        raise ValueError(
            f"--size {size} chooses the blocks itself, found {' and '.join(odd)}; leave these out, or in place of "
            f"--size say --model.image-size {size} with --model.channels of {len(made.channels)} blocks"
        )
    return made


def _conditional(model: FSVAEConfig, images: LabelledDataset) -> FSVAEConfig:
    """The model whose prior knows the labels of the images."""
    if not isinstance(model.latent, Escape):
        raise ValueError(
            f"--conditional needs the latent Escape, found {type(model.latent).__name__}; add --model.latent escape"
        )
    if not images.classes:
        raise ValueError(f"--conditional needs labels, {images.name} has none: put each class into a folder of its own")
    return replace(model, latent=replace(model.latent, classes=images.classes, clusters=0))


def _shared(config: TrainConfig, options: TrainOptions, given: frozenset[str], preset: TrainConfig) -> TrainConfig:
    """The stages of a preset share the steps of --steps as they share its own on the images that it is made for, unless
    the length of a later one was given too."""
    _, *later = [name for name, _ in config.named_stages()]
    lengths = {f"{name}{unit}" for name in later for unit in ("steps", "epochs")}
    if "--steps" not in given or not config.steps or not later or given & lengths:
        return config
    stages = replace(config, steps=preset.steps, epochs=preset.epochs).named_stages()
    images, usual = _known(preset) or _images(config, options), dict(preset.named_stages())
    parts = [stage.total_steps(images // usual.get(name, stage).batch_size) for name, stage in stages]
    config = config.sharing(config.steps, parts)
    shares = " + ".join(f"{stage.steps:,}" for stage in config.stages())
    one_by_one = " and ".join(f"{name}steps" for name in later)
    tell(f"steps of the {len(stages)} stages: {shares}; {one_by_one} would set the later ones")
    return config


def _images(config: TrainConfig, options: TrainOptions) -> int:
    """Training images of a run."""
    if known := _known(config):
        return min(config.limit or known, known)
    size, download = config.model.image_size, options.download and not options.dry_run
    with once_per_machine():
        train = load_images(config.data, "train", size=size, root=options.data_root, download=download)
    return len(limited(train, config.limit or None))


def _tell_of_missing(data: str, options: TrainOptions) -> None:
    """Say that a data set is not there yet, of which a dry run needs no file."""
    root = data_root(options.data_root)
    if data in IMAGE_SETS and not options.download and (missing := absent(data, root)):
        tell(f"note: training needs {data} in {shown(root)} (--data-root, --download): {missing}")


def _known(config: TrainConfig) -> int:
    """Training images of a data set by name, without reading it; 0 where that number is not known beforehand."""
    return IMAGE_SETS[config.data].training if config.data in IMAGE_SETS else 0


def _adapted(config: TrainConfig, options: TrainOptions, given: frozenset[str], preset: TrainConfig) -> TrainConfig:
    """`_fit_to_images` and `_shared`; --dry-run checks the scores too, as training itself does before it begins."""
    config = _shared(_fit_to_images(config, options, given), options, given, preset)
    if options.dry_run:
        config.check_images(_images(config, options))
        _tell_of_missing(config.data, options)
    if options.dry_run and options.given:
        check_not_hidden("eval")
        planned(options, config, torch.device("cpu"))
    return config


TRAIN = TrainCommand("fsvae-tcja train", PRESETS, TrainConfig, TrainOptions, KIND, FSVAE, adapt=_adapted)


def main(args: list[str]) -> int:
    """`train PRESET [options]`, or `train --resume RUN`."""
    return TRAIN.run(args, _fit)


def _fit(config: TrainConfig, options: TrainOptions, run: RunFolder) -> int:
    device, resume = own(resolve(options.device)), run.resume
    where: dict[str, Any] = {"size": config.model.image_size, "root": options.data_root, "download": options.download}
    scoring, score = options.complete(run, resume), None
    if scoring.score_every:
        check_not_hidden("eval")
        score = scorer(scoring, config, device, run, where)
    with once_per_machine():
        train, test = (load_images(config.data, split, **where) for split in ("train", "test"))
    task = FSVAETask(config, train, test, score)
    callbacks = [KeepMemory(), Watch(), Remember(scoring)]
    trainer = Trainer(task, config, run, device=device, callbacks=callbacks, init_from=options.init_from)
    outcome = trainer.fit(resume)
    print(TRAIN.ending(outcome, run, options))
    return outcome.status
