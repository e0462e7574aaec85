"""fsvae-tcja classify train: train a classifier by a preset, or go on with a run."""

from dataclasses import replace
from pathlib import Path

from fsvae_tcja.data import EVENT_SETS, IMAGE_SETS, LabelledDataset, load_images, located
from fsvae_tcja.runtime.callbacks import KeepMemory
from fsvae_tcja.runtime.command import RunOptions, TrainCommand
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.printable import shown
from fsvae_tcja.utils.processes import own, rank
from fsvae_tcja.utils.streams import tell

from .. import checkpoint
from ..data import load_split
from ..model import SpikingClassifier
from ..own_images import fitted
from ..presets import PRESETS
from ..results import as_text, write_results
from ..train import ClassifierTask, TrainConfig, callbacks

SHAPE = frozenset({"--model.shape", "--model.classes", "--model.layers"})


def _fit_to_images(config: TrainConfig, options: RunOptions, given: frozenset[str], preset: TrainConfig) -> TrainConfig:
    """The network for the colours and classes of a folder of one's own, unless one of these options was given."""
    if config.data in IMAGE_SETS or config.data in EVENT_SETS or given & SHAPE:
        return config
    with once_per_machine():
        images = load_images(located(config.data), size=config.model.shape[1], root=options.data_root)
    model = fitted(config.model, images.channels, images.classes or config.model.classes)
    if model != config.model:
        shape = " ".join(map(str, model.shape))
        found = f"the network for {shown(config.data)}: --model.shape {shape} --model.classes {model.classes}"
        tell(f"{found} --model.layers '{model.layers}'")
    return replace(config, model=model)


TRAIN = TrainCommand(
    "fsvae-tcja classify train",
    PRESETS,
    TrainConfig,
    RunOptions,
    checkpoint.KIND,
    SpikingClassifier,
    Path("runs/classify"),
    _fit_to_images,
)


def main(args: list[str]) -> int:
    """`train PRESET [options]`, or `train --resume RUN`."""
    return TRAIN.run(args, _fit)


def _fit(config: TrainConfig, options: RunOptions, run: RunFolder) -> int:
    device, resume = own(resolve(options.device)), run.resume

    def split(name: str) -> LabelledDataset:
        return load_split(
            config.data,
            name,
            config.model,
            slices=config.slices,
            validation=config.validation,
            root=options.data_root,
            download=options.download,
        )

    with once_per_machine():
        test = split("test")  # loaded before the training, so that missing files are found now
        train, valid = split("train"), split("valid")
    task = ClassifierTask(config, train, valid, test if config.test_every_epoch else None)
    accompanied = [*callbacks(task), KeepMemory()]
    trainer = Trainer(task, config, run, device=device, callbacks=accompanied, init_from=options.init_from)
    outcome = trainer.fit(resume)
    results = write_results(run, config, test, device) if outcome.finished and rank() == 0 else None
    print(TRAIN.ending(outcome, run, options))  # after the last file: nobody may be reading
    if results is not None:
        print(as_text(results))
    return outcome.status
