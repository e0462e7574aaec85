"""Small trainings that several processes can share: every kind of task, with everything that is random in it."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from classifiers.augment import Augment
from classifiers.config import ClassifierConfig
from classifiers.train import ClassifierTask
from classifiers.train import TrainConfig as ClassifierTraining
from classifiers.train import callbacks as of_classifiers
from eval.networks.autoencoder import Autoencoder
from eval.networks.classifier import Classifier
from eval.training import TrainingConfig, train
from fsvae_tcja.core import LeakyReLU, TDBatchNorm
from fsvae_tcja.core.shared import sharing
from fsvae_tcja.core.statistics import by_own_statistics
from fsvae_tcja.data import MemoryImages
from fsvae_tcja.runtime.config import Stage
from fsvae_tcja.runtime.run import open_run
from fsvae_tcja.runtime.trainer import Outcome, Trainer
from fsvae_tcja.utils.processes import rank
from fsvae_tcja.utils.shares import share_of
from fsvae_tcja.vae.config import FSVAEConfig, TCJAConfig
from fsvae_tcja.vae.discriminator import Tuning
from fsvae_tcja.vae.latent import Bernoulli, Escape, Gaussian, Hierarchical, Poisson
from fsvae_tcja.vae.recalibrate import recalibrate
from fsvae_tcja.vae.sample import stream
from fsvae_tcja.vae.train import FSVAETask, TrainConfig
from tests.curves import undrawn
from tests.several import barrier, place_of

BATCH = 16
EVERYTHING: dict[str, Any] = {"accumulate": 2, "clip": 0.5, "ema": 0.9, "schedule": "cosine", "warmup": 2}
TINY = FSVAEConfig(T=7, L=6, image_size=8, latent=Bernoulli(k=3), channels=(4, 6), tcja=TCJAConfig((0,), (1,)))
SHARED = {"data": "toy", "batch_size": BATCH, "lr": 1e-3, "log_every": 2}
STAGE = Stage(batch_size=BATCH, lr=1e-3)


def toy(n: int, split: str = "train", size: int = 8) -> MemoryImages:
    """Smooth shapes, some of which neurons fire for."""
    generator = torch.Generator().manual_seed(n)
    small = torch.rand(n, 1, 5, 5, generator=generator)
    images = F.interpolate(small, (size, size), mode="bilinear")
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


def stochastic(steps: int) -> TrainConfig:
    """A code that is drawn, in the first stage and for the second."""
    latent = Escape(groups=2, hidden=16, joint_groups=2, joint_hidden=8, stochastic=0.1, prior=replace(STAGE, steps=2))
    return TrainConfig(**SHARED, **EVERYTHING, steps=steps - 2, recalibrate=40, model=replace(TINY, latent=latent))


def conditional(steps: int) -> TrainConfig:
    """`escape` with labels in place of clusters."""
    run = escape(steps)
    return replace(run, model=replace(run.model, latent=replace(run.model.latent, clusters=0, classes=3)))


def hierarchical(steps: int) -> TrainConfig:
    """Of every fourth image an error from a part of its code, which is not silent: shares are multiples of 4."""
    latent = Hierarchical(groups=1, hidden=16, joint_groups=1, joint_hidden=8, base=4, detail_groups=21)
    latent = replace(latent, detail_hidden=8, prior=replace(STAGE, steps=2))
    model = replace(TINY, latent=latent, neuron="centred")
    run = TrainConfig(**SHARED, **EVERYTHING, steps=steps - 2, recalibrate=40, model=model)
    return replace(run, accumulate=1)


def poisson(steps: int) -> TrainConfig:
    """A loss that is no mean over images: it compares all of a batch, or of a part of one, with one another."""
    return TrainConfig(**SHARED, **EVERYTHING, steps=steps, model=replace(TINY, latent=Poisson(weight=1.0)))


def gaussian(steps: int) -> TrainConfig:
    """No spikes at all."""
    model = replace(TINY, T=1, latent=Gaussian(), neuron=LeakyReLU(), tcja=TCJAConfig())
    return TrainConfig(**SHARED, **EVERYTHING, steps=steps, model=model)


def classifier(steps: int) -> ClassifierTraining:
    model = ClassifierConfig("4C TCJA(2,2) MP2 DP.2 FC20 LIF FC3", T=3, shape=(1, 8, 8), classes=3)
    augment = Augment(flip=True, rotate=20, roll=2, cutout=4, mixup=0.5)
    return ClassifierTraining(**SHARED, **EVERYTHING, steps=steps, model=model, augment=augment)


CONFIGS: dict[str, Callable[[int], Any]] = {
    "bernoulli": bernoulli,
    "prefix": prefix,
    "escape": escape,
    "stochastic": stochastic,
    "conditional": conditional,
    "hierarchical": hierarchical,
    "poisson": poisson,
    "gaussian": gaussian,
    "classifier": classifier,
}
NETWORKS: dict[str, tuple[Callable, Callable]] = {
    "autoencoder": (Autoencoder, lambda network, images, labels: F.mse_loss(network(images), images)),
    "domain": (Classifier, lambda network, images, labels: F.cross_entropy(network(images), labels)),
}


def fit(
    kind: str, folder: Path, steps: int, resume: bool = False, at: dict[int, tuple[int, str]] | None = None
) -> Outcome:
    """A training of one of CONFIGS on 100 images.

    Args:
        kind: which.
        folder: of the run.
        steps: how long.
        resume: go on with the run in the folder.
        at: of some process, by its rank, the number of a call of its losses, from 1, and what happens then.
    """
    config, (train, test) = CONFIGS[kind](steps), (toy(100), toy(20, "test"))
    vae = isinstance(config, TrainConfig)
    task = FSVAETask(config, train, test) if vae else ClassifierTask(config, train, test)
    callbacks = [] if vae else of_classifiers(task)
    run = open_run(folder, resume)
    trainer = Trainer(task, config, run, callbacks=callbacks, loss=_with_event(*(at or {}).get(rank(), (0, ""))))
    with undrawn():
        return trainer.fit(resume)


EVENTS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT}


def _with_event(number: int, event: str) -> Callable:
    calls = count(1)

    def loss(task, batch):
        if next(calls) == number:
            os.kill(os.getpid(), EVENTS[event])
        return task.losses(*batch)

    return loss


def first_is_killed() -> None:
    if rank() == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    barrier()


def shared_batches(folder: Path) -> list[list[int]]:
    """The images that this process sees in each of two epochs of 100, of a batch in two parts, one after the other."""
    seen: list[list[int]] = [[], []]
    train = toy(100)
    train.labels = torch.arange(100)
    train.classes = 100
    config = replace(
        classifier(12), augment=Augment(), model=replace(classifier(12).model, classes=100, layers="2C AP4 FC100")
    )
    task = ClassifierTask(config, train, toy(20, "test"))

    def loss(task, batch):
        seen[batch.epoch] += batch.labels.tolist()
        return task.losses(*batch)

    Trainer(task, config, open_run(folder), loss=loss).fit()
    return seen


def codes_of_a_stage() -> dict[str, Any]:
    """What a process has of the codes of its second stage: where they lie, their bytes, their clusters."""
    task = FSVAETask(escape(8), toy(100), toy(20, "test"))
    codes = task.start_stage(1, task.data).codes
    latent = task.model.latent
    found = {"codes": codes, "centres": latent.centres, "seen": latent.seen}
    return {"place": place_of(codes)} | {name: value.numpy().tobytes() for name, value in found.items()}


def drawn(n: int) -> np.ndarray | None:
    """Images that the processes draw together, in the first one."""
    model = FSVAETask(escape(8), toy(100), toy(20, "test")).model
    recalibrate(model, toy(100), 100)  # else no neuron fires
    images = list(stream(model, n, 3, batch_size=16, together=True))
    return torch.cat(images).numpy() if rank() == 0 else None


def statistics() -> dict[str, np.ndarray]:
    """What a norm makes of this process's share of 12 images, and its gradients: fused and one after the other."""
    share, found = share_of(12), dict[str, torch.Tensor]()
    generator = torch.Generator().manual_seed(0)
    images, upstream = (torch.randn(12, 5, 4, 4, generator=generator) * 2 + 3 for _ in range(2))
    for name, compute in {"fused": _fused, "plain": lambda norm, y: norm(y)}.items():
        norm = TDBatchNorm(5, 0.2)
        y = share.take(images).clone().requires_grad_()
        with sharing(norm, share.n / share.whole):
            out = compute(norm, y)
            out.backward(share.take(upstream))
        found |= {
            f"{name}, out of images": out.detach(),
            f"{name}, gradient of images": y.grad,
            f"{name}, weight's gradient": norm.weight.grad,
            f"{name}, bias's gradient": norm.bias.grad,
        }
        if name == "plain":  # the other leaves it to the layer
            found |= {"mean": norm.running_mean, "variance": norm.running_var}
    return {name: value.numpy() for name, value in found.items()}


def _fused(norm: TDBatchNorm, y: torch.Tensor) -> torch.Tensor:
    normed = by_own_statistics(y, norm)
    return normed.scale.view(1, -1, 1, 1) * normed.y + normed.shift.view(1, -1, 1, 1)


def fit_network(kind: str, folder: Path, steps: int) -> None:
    """A network of scores on 5 batches an epoch, the last of 5 images only.

    In float64: AdamW makes whole steps also of gradients that are nothing but rounding, those of biases before a norm.
    """
    config = TrainingConfig(epochs=max(1, steps // 5), batch_size=BATCH)
    build, loss = NETWORKS[kind]
    wide = lambda network, images, labels: loss(network, images.double(), labels)  # noqa: E731
    train(lambda: build().double(), wide, toy(4 * BATCH + 5, size=32), config, run=folder)
