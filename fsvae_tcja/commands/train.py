"""fsvae-tcja train: train an FSVAE by a preset, or go on with a run."""

from dataclasses import dataclass
from typing import Any

from ..data.load import load_images
from ..runtime.command import RunOptions, TrainCommand
from ..runtime.device import resolve
from ..runtime.loop import fit
from ..runtime.run import RunFolder
from ..scoring_options import ScoringOptions
from ..utils.configuration import to_dict
from ..utils.program import check_not_hidden
from ..vae.checkpoint import KIND
from ..vae.model import FSVAE
from ..vae.presets import PRESETS
from ..vae.train import FSVAETask, TrainConfig


@dataclass(frozen=True)
class TrainOptions(RunOptions, ScoringOptions):
    """What `train` takes besides the configuration."""


TRAIN = TrainCommand("fsvae-tcja train", PRESETS, TrainConfig, TrainOptions, KIND, FSVAE)


def main(args: list[str]) -> int:
    """`train PRESET [options]`, or `train --resume RUN`."""
    return TRAIN.run(args, _train)


def _train(config: TrainConfig, options: TrainOptions) -> int:
    device = resolve(options.device)
    resume = options.resume is not None
    assert options.out is not None  # TrainCommand fills it in
    run = RunFolder(options.out, resume=resume)
    where: dict[str, Any] = {"size": config.model.image_size, "root": options.data_root, "download": options.download}
    scoring, score = options.complete(run, resume), None
    if scoring.score_every:
        check_not_hidden("eval")
        from ..scoring import scorer

        score = scorer(scoring, config, device, run, where)
    train, test = (load_images(config.data, split, **where) for split in ("train", "test"))
    task = FSVAETask(config, train, test, score)
    scoring.remember(run)
    outcome = fit(task, config, to_dict(config), run, device=device, resume=resume, keep_memory=True)
    print(TRAIN.told(outcome, run, options))
    return 0 if outcome.finished else 130
