"""Images per second of the first stage of a preset: the training loop itself, on made-up images, on the CPU.

    python tests/benchmarks/bench_stage.py [--preset mnist-fast] [--batch 32] [--no-tcja] [--threads 1 2]

Loader, metrics and optimiser included, as `fsvae-tcja train` runs them; evaluation and checkpoints not. Each number of
threads has a process of its own. The best and the median of stretches of 25 steps, without the first: on a machine that
others use too the best is the one to compare.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from timing import machine
from torch import Tensor

from fsvae_tcja.data import MemoryImages
from fsvae_tcja.runtime.callbacks import Callback, KeepMemory
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae.config import TCJAConfig
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

STRETCH = 25


class Clock(Callback):
    """Seconds of each stretch of steps; it ends the run after the last."""

    def __init__(self, stretches: int) -> None:
        self.stretches = stretches
        self.times: list[float] = []

    def step(self, trainer: Trainer, losses: Mapping[str, Tensor]) -> None:
        if trainer.step % STRETCH == 0:
            self.times.append(time.perf_counter())
        if len(self.times) > self.stretches:
            trainer.interrupt()


def images(config: TrainConfig) -> MemoryImages:
    model = config.model
    random = torch.Generator().manual_seed(0)
    n = 10_000
    shape = n, model.in_channels, model.image_size, model.image_size
    pixels = torch.randint(256, shape, generator=random, dtype=torch.uint8)
    labels = torch.randint(10, (n,), generator=random)
    return MemoryImages("made up", "train", pixels, labels, 10, tuple("0123456789"))


def measure(config: TrainConfig, threads: int, stretches: int) -> None:
    torch.set_num_threads(threads)
    data, clock = images(config), Clock(stretches)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        Trainer(FSVAETask(config, data, data), config, run, callbacks=[KeepMemory(), clock]).fit()
    rates = [STRETCH * config.batch_size / (b - a) for a, b in pairwise(clock.times)]
    print(f"{machine()}: best {max(rates):.0f}, median {statistics.median(rates):.0f} images per second", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="mnist-fast")
    parser.add_argument("--batch", type=int, help="by default that of the preset")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--stretches", type=int, default=8, help=f"of {STRETCH} steps")
    parser.add_argument("--no-tcja", dest="tcja", action="store_false")
    arguments = parser.parse_args()
    config = PRESETS[arguments.preset].config
    model = config.model if arguments.tcja else replace(config.model, tcja=TCJAConfig())
    # One epoch is longer than what is measured: no evaluation falls into it.
    size = arguments.batch or config.batch_size
    config = replace(config, model=model, batch_size=size, steps=STRETCH * (arguments.stretches + 2))
    print(f"{arguments.preset}, batch {size}, TCJA {'on' if arguments.tcja else 'off'}")
    for threads in arguments.threads:
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(config, threads, arguments.stretches)
        )
        process.start()
        process.join()


if __name__ == "__main__":
    main()
