"""Small trainings that several processes can share: every kind of task, with everything that is random in it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from classifiers.augment import Augment
from classifiers.config import ClassifierConfig
from classifiers.train import ClassifierTask
from classifiers.train import TrainConfig as ClassifierTraining
from classifiers.train import callbacks as of_classifiers
from eval.networks.autoencoder import train_autoencoder
from eval.networks.classifier import train_classifier
from eval.training import TrainingConfig
from fsvae_tcja.data import MemoryImages
from fsvae_tcja.runtime.config import Stage
from fsvae_tcja.runtime.run import open_run
from fsvae_tcja.runtime.trainer import Outcome, Trainer
from fsvae_tcja.vae.config import FSVAEConfig, TCJAConfig
from fsvae_tcja.vae.judge import Tuning
from fsvae_tcja.vae.latent import Bernoulli, Escape
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

BATCH = 16
EVERYTHING: dict[str, Any] = {"accumulate": 2, "clip": 0.5, "ema": 0.9, "schedule": "cosine", "warmup": 2}
TINY = FSVAEConfig(T=7, L=6, image_size=8, latent=Bernoulli(k=3), channels=(4, 6), tcja=TCJAConfig((0,), (1,)))
SHARED = {"data": "toy", "batch_size": BATCH, "lr": 1e-3, "log_every": 2}
STAGE = Stage(batch_size=BATCH, lr=1e-3)


def toy(n: int, split: str = "train", size: int = 8) -> MemoryImages:
    """Smooth shapes, some of which neurons fire for."""
    generator = torch.Generator().manual_seed(n)
    small = torch.rand(n, 1, 5, 5, generator=generator)
    images = torch.nn.functional.interpolate(small, (size, size), mode="bilinear")
    return MemoryImages("toy", split, (images * 255).to(torch.uint8), torch.arange(n) % 3, 3)


def bernoulli(steps: int) -> TrainConfig:
    return TrainConfig(**SHARED, **EVERYTHING, steps=steps, flip=True, model=TINY)


def prefix(steps: int) -> TrainConfig:
    """Another distance, statistics of the batch wherever z is drawn, layers computed again in the backward pass."""
    latent = Bernoulli(k=3, sampling="prefix", distance="kld")
    return TrainConfig(**SHARED, steps=steps, save_memory=True, model=replace(TINY, latent=latent))


def escape(steps: int) -> TrainConfig:
    """Three stages, of which the first two take a quarter of the steps each."""
    prior = replace(STAGE, steps=steps // 4)
    latent = Escape(groups=2, hidden=16, joint_groups=2, joint_hidden=8, clusters=2, prior=prior)
    tuning = Tuning(0.1, replace(STAGE, steps=steps - 2 * (steps // 4)))
    model = replace(TINY, latent=latent)
    return TrainConfig(**SHARED, **EVERYTHING, steps=steps // 4, recalibrate=40, model=model, tuning=tuning)


def classifier(steps: int) -> ClassifierTraining:
    model = ClassifierConfig("4C TCJA(2,2) MP2 DP.2 FC20 LIF FC3", T=3, shape=(1, 8, 8), classes=3)
    augment = Augment(flip=True, rotate=20, roll=2, cutout=4, mixup=0.5)
    return ClassifierTraining(**SHARED, **EVERYTHING, steps=steps, model=model, augment=augment)


CONFIGS: dict[str, Callable[[int], Any]] = {
    "bernoulli": bernoulli,
    "prefix": prefix,
    "escape": escape,
    "classifier": classifier,
}
NETWORKS = {"autoencoder": train_autoencoder, "domain": train_classifier}


def fit(kind: str, folder: Path, steps: int, resume: bool = False, at: dict[int, Callable] | None = None) -> Outcome:
    """A training of one of CONFIGS on 100 images.

    Args:
        kind: which.
        folder: of the run.
        steps: how long.
        resume: go on with the run in the folder.
        at: what happens at the beginning of a step of this process, by the step's number, from 1.
    """
    config, (train, test) = CONFIGS[kind](steps), (toy(100), toy(20, "test"))
    vae = isinstance(config, TrainConfig)
    task = FSVAETask(config, train, test) if vae else ClassifierTask(config, train, test)
    callbacks = [] if vae else of_classifiers(task)
    run = open_run(folder, resume)
    trainer = Trainer(task, config, run, callbacks=callbacks, loss=_with_events(at or {}))
    return trainer.fit(resume)


def _with_events(at: dict[int, Callable]) -> Callable:
    done = 0

    def loss(task, batch):
        nonlocal done
        done += 1
        if done in at:
            at[done]()
        return task.losses(*batch)

    return loss


def fit_network(kind: str, folder: Path, steps: int) -> None:
    """A network of scores on 5 batches an epoch, the last of 3 images only."""
    config = TrainingConfig(epochs=max(1, steps // 5), batch_size=BATCH)
    NETWORKS[kind](toy(4 * BATCH + 3, size=32), config, run=folder)
