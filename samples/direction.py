"""What time and attention are worth: the direction of motion of drawn shapes, which no single frame tells.

    python samples/direction.py [OUT]

Trains one small network, from the same seeds and for as long, with TCJA, its ablations, without it, and with neurons
that have no memory (each frame by itself: at most 50%, see fsvae_tcja/data/events/README.md). OUT is a new folder, by
default runs/direction; it gets a run folder for each and direction.png.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure

from classifiers.data import load_split
from classifiers.presets import PRESETS
from classifiers.results import write_results
from classifiers.train import ClassifierTask, TrainConfig, callbacks
from fsvae_tcja.runtime.callbacks import KeepMemory
from fsvae_tcja.runtime.pictures import save_figure
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.atomic import write_json

VARIANTS = {  # name: (attention, neuron)
    "TCJA": ("joint", "atan"),
    "TLA + CLA, added": ("add", "atan"),
    "TLA only": ("tla", "atan"),
    "CLA only": ("cla", "atan"),
    "no attention": ("none", "atan"),
    "no memory, no attention": ("none", "frame"),
}
SEEDS = (0, 1, 2)
EPOCHS = 12


def config(attention: str, neuron: str, seed: int) -> TrainConfig:
    base = PRESETS["synthetic-events"].config
    model = replace(base.model, attention=attention, neuron=neuron)
    return replace(base, epochs=EPOCHS, seed=seed, model=model)


def accuracy(config: TrainConfig, path: Path) -> float:
    """Train; test accuracy of the last epoch."""
    train, valid, test = (load_split(config.data, split, config.model) for split in ("train", "valid", "test"))
    run = RunFolder(path)
    task = ClassifierTask(config, train, valid)
    if not Trainer(task, config, run, callbacks=[*callbacks(task), KeepMemory()]).fit().finished:
        sys.exit(130)
    return write_results(run, config, test, torch.device("cpu"))["last"]["test_accuracy"]


def draw(found: dict[str, list[float]], path: Path) -> None:
    """A bar for the mean of each variant, a dot for each seed."""
    figure = Figure((8, 3.2), dpi=120, layout="constrained")
    axis = figure.subplots()
    for row, (name, values) in enumerate(found.items()):
        mean = sum(values) / len(values)
        axis.barh(row, mean, color="tab:gray" if "no memory" in name else "tab:blue", alpha=0.6, height=0.7)
        axis.plot(values, [row] * len(values), "k.", clip_on=False)
        axis.annotate(f"{mean:.1%}", (1.02, row), annotation_clip=False, va="center")
    axis.axvline(0.5, color="black", linestyle="--", linewidth=1)
    axis.annotate("most that single frames can tell", (0.49, -0.75), ha="right", fontsize="small")
    axis.set_yticks(range(len(found)), list(found))
    axis.set_ylim(len(found) - 0.5, -1)
    axis.set_xlim(0, 1)
    axis.set_xlabel("test accuracy")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(f"Direction of motion: {EPOCHS} epochs, n = 200, seeds {SEEDS}", fontsize="medium")
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=Path("runs/direction"))
    out = parser.parse_args().out
    found = {
        name: [accuracy(config(attention, neuron, seed), out / f"{name}, seed {seed}") for seed in SEEDS]
        for name, (attention, neuron) in VARIANTS.items()
    }
    draw(found, out / "direction.png")
    write_json(out / "accuracies.json", found)
    for name, values in found.items():
        print(f"{name:26}" + "  ".join(f"{value:.1%}" for value in values))
    print(f"picture: {out / 'direction.png'}")


if __name__ == "__main__":
    main()
