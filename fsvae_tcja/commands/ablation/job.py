"""One training run of a study: trained, resumed, measured."""

import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...data.dataset import LabelledDataset
from ...data.image_sets import IMAGE_SETS
from ...data.load import load_images
from ...runtime.callbacks import Callback, KeepMemory
from ...runtime.run import RunFolder, flat, has_checkpoint
from ...runtime.trainer import Trainer
from ...utils.atomic import write_json
from ...utils.configuration import from_dict, to_dict
from ...utils.foreign import reading
from ...utils.lock import LOCK, locked
from ...vae import load
from ...vae.train import FSVAETask, TrainConfig
from .measure import Data, measure
from .study import Study

RESULT, SECONDS, LENGTH = "result.json", "seconds.json", "steps.json"
LOOKED_AT = "of a folder drawn"  # which n test images are measured; before, a folder's first ones were
TIMED = 12  # steps, of each stage at least, whose median time says how many a budget in seconds has


class Where(NamedTuple):
    """Where a study reads, writes and computes."""

    out: Path
    device: torch.device
    data: dict[str, Any]
    """Keywords of `load_images`: root and download."""

    def images(self, config: TrainConfig, split: str) -> LabelledDataset:
        """A split of the data set of a run."""
        return load_images(config.data, split, size=config.model.image_size, **self.data)

    def folder(self, setting: str, seed: int) -> Path:
        """Of one training run."""
        return self.out / setting / f"seed-{seed}"


def finished(study: Study, setting: str, seed: int, where: Where) -> dict[str, Any] | None:
    """The result of a run that is finished; a ValueError if it is one of other settings."""
    path = where.folder(setting, seed) / RESULT
    if not path.is_file():
        return None
    with reading(path, "is damaged", "delete it"):
        result: dict[str, Any] = json.loads(path.read_text())
        asked = result["asked"]
        asked["start"] = to_dict(from_dict(TrainConfig, asked["start"]))  # an older version had fewer settings
        if asked["start"]["data"] in IMAGE_SETS:
            asked.setdefault("images", LOOKED_AT)
    there, here = flat(asked), flat(_asked(study, setting))
    if different := sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name)):
        pairs = ", ".join(f"{name}: {there.get(name)} there, {here.get(name)} here" for name in different)
        raise ValueError(
            f"{path} is the result of other settings or of another budget ({pairs}); give another --out, or delete it"
        )
    return result


def _asked(study: Study, setting: str) -> dict[str, Any]:
    """What a result depends on, its seed apart."""
    files = {key: path and path.name for key, path in vars(study).items() if key in ("autoencoder", "classifier")}
    budget = {"steps": study.steps, "seconds": study.seconds, "n": study.n, "images": LOOKED_AT}
    return {"start": to_dict(study.settings[setting])} | budget | files


class Stopped(Exception):
    """A signal ended a training.

    Args:
        status: for the process to end with.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"a training ended with status {status}")
        self.status = status


def train_and_measure(study: Study, setting: str, seed: int, where: Where) -> dict[str, Any]:
    """Train one setting with one seed, or go on with it, and measure; a `Stopped` if it is interrupted."""
    folder, start = where.folder(setting, seed), study.settings[setting]
    data = Data(*(where.images(start, split) for split in ("train", "test")))
    steps = study.steps or _steps_in(study.seconds, start, where.out / setting / LENGTH, data, where.device)
    images = min(start.limit or len(data.train), len(data.train))
    config = replace(start, seed=seed).lasting_in_all(steps, images)
    resume = has_checkpoint(folder)
    if folder.exists() and not resume:
        _clear(folder)
    run = RunFolder(folder, resume=resume)
    trainer = Trainer(FSVAETask(config, *data), config, run, device=where.device, callbacks=[KeepMemory()])
    outcome = trainer.fit(resume)
    before = json.loads((folder / SECONDS).read_text()) if (folder / SECONDS).is_file() else 0
    write_json(folder / SECONDS, before + outcome.seconds)
    if not outcome.finished:
        raise Stopped(outcome.status)
    figures = measure(load(run.path, where.device), run, study, seed, data, where.device)
    figures |= {"steps": steps, "seconds": before + outcome.seconds}
    result = {"setting": setting, "seed": seed, "asked": _asked(study, setting), "figures": figures}
    write_json(folder / RESULT, result)
    return result


def _clear(folder: Path) -> None:
    """Remove what is left of a run that ended before its first checkpoint; a ValueError if one is at work there."""
    with locked(folder):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()


class _Clock(Callback):
    """When each step of each stage ended."""

    def __init__(self) -> None:
        self.times: defaultdict[int, list[float]] = defaultdict(list)

    def step(self, trainer: Trainer, losses: Mapping[str, Tensor]) -> None:
        self.times[trainer.span.number].append(time.monotonic())


def _steps_in(seconds: float, config: TrainConfig, file: Path, data: Data, device: torch.device) -> int:
    """How many steps a setting does in so many seconds, measured once for all its seeds, by the first process."""
    if file.is_file():
        return int(json.loads(file.read_text()))
    images = min(config.limit or len(data.train), len(data.train))
    lengths = [stage.total_steps(images // stage.batch_size) for stage in config.stages()]
    clock, trial = _Clock(), config.lasting_in_all(ceil(TIMED * sum(lengths) / max(1, min(lengths))), images)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(FSVAETask(trial, *data), trial, RunFolder(folder), device=device, callbacks=[clock])
        outcome = trainer.fit()
    if not outcome.finished:
        raise Stopped(outcome.status)
    each = [median(b - a for a, b in pairwise(clock.times[stage])) for stage in sorted(clock.times)]
    steps = int(seconds * sum(lengths) / sum(n * t for n, t in zip(lengths, each, strict=True)))
    if not file.is_file():  # another process may have measured meanwhile
        write_json(file, max(len(lengths), steps))
    return int(json.loads(file.read_text()))
