"""Memory and open files of one process over a long training, which have to stay as they are.

    python -m tests.reliability.long --epochs 200

A tiny FSVAE on 40 digits, one step an epoch, evaluated, drawn and saved as every run is.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from fsvae_tcja.data import load_images
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae.config import FSVAEConfig
from fsvae_tcja.vae.latent import Bernoulli
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import FSVAETask

TINY = FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))
PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes
ROWS = 8


class Watch(Callback):
    """Prints resident memory and open files from time to time."""

    def __init__(self, epochs: int) -> None:
        self.each = max(1, epochs // ROWS)

    def epoch_end(self, trainer: Trainer, figures: Mapping[str, float]) -> None:
        if trainer.epoch % self.each == 0:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
            files = len(os.listdir("/proc/self/fd"))
            print(f"{trainer.epoch:6} epochs  {resident / 1e6:7.1f} MB  {files:3} open files", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    preset = PRESETS["digits"].config
    config = replace(preset, model=TINY, epochs=epochs, limit=40, batch_size=40)
    train, test = (load_images("digits", split) for split in ("train", "test"))
    with tempfile.TemporaryDirectory() as place:
        task, run = FSVAETask(config, train, test), RunFolder(Path(place) / "run")
        Trainer(task, config, run, callbacks=[Watch(epochs)]).fit()
