"""The training loop that every model shares: order, steps, logs, checkpoints, interruption and exact resumption."""

import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ..core.memory import keep_freed_memory
from ..data.load import batches
from . import checkpoint, seeding
from .run import RunFolder

Precision = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["constant", "cosine"]
SAVE_SECONDS = 600  # between two checkpoints in the middle of an epoch
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class LoopConfig:
    """What every training run has."""

    data: str = "mnist"
    """Data set by name (digits, mnist, fashion-mnist, cifar10, cifar100, celeba), or a folder of images."""
    epochs: int = 150
    """Passes over the training split."""
    batch_size: int = 250
    """Images per step; a last smaller batch is left out."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's two moments."""
    weight_decay: float = 1e-3
    """Decoupled weight decay of AdamW."""
    schedule: Schedule = "constant"
    """Learning rate over the epochs: constant, or a cosine from lr down to 0."""
    seed: int = 0
    """Owner of all randomness of the run."""
    log_every: int = 10
    """Steps per row of metrics; a row is their mean."""
    precision: Precision = "fp32"
    """Type of activations in training; weights, statistics and membranes stay in fp32."""
    compile: bool = False
    """Compile what can be compiled of the model with torch.compile: of the FSVAE encoder and decoder."""
    save_memory: bool = False
    """Compute every spiking layer again in the backward pass instead of keeping what it needs: memory for time."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, found {getattr(self, name)}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {list(get_args(Precision))}, found {self.precision!r}")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule must be one of {list(get_args(Schedule))}, found {self.schedule!r}")
        if not self.lr > 0:
            raise ValueError(f"lr must be > 0, found {self.lr}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be >= 0, found {self.weight_decay}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63 - 1, found {self.seed}")


class Task(Protocol):
    """What the loop needs to know of a model."""

    model: nn.Module
    data: Dataset

    def losses(self, images: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """images uint8 [B, C, H, W] -> scalars; "loss" is minimised."""

    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        """Evaluate and draw; what it returns is logged."""

    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says of the model: kind and configuration."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps done, of how many, those that were done now, and seconds spent on them."""

    step: int
    total: int
    trained: int
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.total


@contextmanager
def stop_signal() -> Iterator[list[int]]:
    """A list that is no longer empty after Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # signals reach the main thread only
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Means:
    """Means of the losses between two rows of metrics, summed on the device."""

    def __init__(self, sums: Mapping[str, Tensor]) -> None:
        self.sums = dict(sums)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        values = {**losses, "steps": torch.ones(())}
        self.sums = {name: self.sums.get(name, 0) + value.detach() for name, value in values.items()}

    def take(self) -> dict[str, float]:
        steps = self.sums.pop("steps")
        means = {name: float(total / steps) for name, total in self.sums.items()}
        self.sums = {}
        return means


def _save(
    task: Task,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    means: _Means,
    config: dict[str, Any],
    run: RunFolder,
    step: int,
) -> None:
    model = {f"model.{name}": t for name, t in task.model.state_dict().items()}
    _check_finite(model | means.sums, step, run)
    metadata = task.metadata() | {
        "step": step,
        "images": len(task.data),
        "training": config,
        "scaler": scaler.state_dict(),
    }
    moments = {
        f"optimizer.{i}.{name}": t for i, state in optimizer.state_dict()["state"].items() for name, t in state.items()
    }
    sums = {f"sums.{name}": t for name, t in means.sums.items()}
    # The checkpoint last: a run killed between the two does the missing steps again and rewrites the model.
    checkpoint.write(run.model, model, metadata)
    checkpoint.write(run.checkpoint, model | moments | sums, metadata)


def _restore(
    task: Task,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    config: dict[str, Any],
    run: RunFolder,
) -> tuple[int, dict[str, Tensor]]:
    """Fill model and optimizer from the checkpoint; return the number of steps done and the sums of the losses."""
    tensors, metadata = checkpoint.read(run.checkpoint)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        i, key = name.split(".")
        moments.setdefault(int(i), {})[key] = tensor
    if not moments:
        raise ValueError(f"{run.checkpoint} holds a model and no optimizer: it is not the checkpoint of a run")
    _check_same(metadata["training"], config, run)
    if metadata.get("images") != len(task.data):
        raise ValueError(
            f"{run.path} was trained on {metadata.get('images')} images, found {len(task.data)}; "
            "resume it on the same data"
        )
    checkpoint.load_into(task.model, _under("model.", tensors), run.checkpoint)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    scaler.load_state_dict(metadata["scaler"])
    return metadata["step"], _under("sums.", tensors)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _check_same(trained: dict[str, Any], config: dict[str, Any], run: RunFolder) -> None:
    there, here = _flat(trained), _flat(json.loads(json.dumps(config)))  # JSON has lists, no tuples
    different = sorted(k for k in there.keys() | here.keys() if there.get(k) != here.get(k))
    if different:
        pairs = ", ".join(f"{k}: {there.get(k)} there, {here.get(k)} here" for k in different)
        raise ValueError(
            f"{run.path} was trained with another configuration ({pairs}); resume it without changes, "
            "or without naming a preset: --resume alone takes the run's own configuration"
        )


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"T": 4}} -> {"model.T": 4}."""
    flat = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def fit(
    task: Task,
    config: LoopConfig,
    description: dict[str, Any],
    run: RunFolder,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    keep_memory: bool = False,
) -> Outcome:
    """Train a task.

    An interrupted run (Ctrl-C, SIGTERM) finishes its step, and the evaluation if that was the last of an epoch, writes
    a checkpoint and returns; resumed, it gives bit for bit the weights of an uninterrupted run (CPU, one process).

    Args:
        task: model, data and losses.
        config: the loop's settings.
        description: the whole configuration as plain data, kept in the run folder and in the checkpoints.
        run: where everything goes.
        device: where the model is trained.
        resume: go on from the checkpoint in `run`.
        keep_memory: from the second step on a CPU, `core.memory.keep_freed_memory`; for a process that only trains.

    Raises:
        ValueError: fewer images than one batch, a checkpoint of another configuration, or a loss that is not finite.
    """
    steps_per_epoch = len(task.data) // config.batch_size
    if steps_per_epoch == 0:
        raise ValueError(
            f"{config.data} has {len(task.data)} training images, fewer than one batch of {config.batch_size}; "
            "use a smaller batch_size"
        )
    began = time.monotonic()
    task.model.to(device)
    optimizer = torch.optim.AdamW(
        task.model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )
    device = torch.device(device)
    autocast = torch.autocast(device.type, _DTYPES[config.precision], enabled=config.precision != "fp32")
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    first, sums = _restore(task, optimizer, scaler, description, run) if resume else (0, {})
    step, means = first, _Means(sums)
    total = config.epochs * steps_per_epoch
    saved = time.monotonic()
    run.start(description, step)
    with closing(run), stop_signal() as stop, _bar(total, step) as bar:
        while step < total:
            epoch, done = divmod(step, steps_per_epoch)
            task.model.train()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, epoch)
            for images, labels in _epoch(task.data, config, epoch, done):
                generator = seeding.generator(config.seed, seeding.Purpose.STEP, step)
                with autocast:
                    losses = task.losses(images.to(device), labels.to(device), epoch, generator)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(losses["loss"]).backward()
                scaler.step(optimizer)
                scaler.update()
                step += 1
                if keep_memory and device.type == "cpu" and step == first + 1:
                    keep_freed_memory()
                means.add(losses)
                bar.update()
                if step % config.log_every == 0 or step % steps_per_epoch == 0:
                    _check_finite(means.sums, step, run)
                    row = means.take()
                    run.log(step, epoch + 1, row)
                    bar.set_postfix({k: f"{v:.4f}" for k, v in row.items()}, refresh=False)
                if stop:
                    break
                if time.monotonic() - saved > SAVE_SECONDS and step % steps_per_epoch:
                    _save(task, optimizer, scaler, means, description, run, step)
                    saved = time.monotonic()
            if step % steps_per_epoch == 0:
                _check_finite(task.model.state_dict(), step, run)
                task.model.eval()
                evaluated = task.end_of_epoch(epoch + 1, run)
                run.log(step, epoch + 1, evaluated)
                told = ", ".join(f"{name} {value:.4g}" for name, value in evaluated.items())
                bar.write(f"epoch {epoch + 1}/{config.epochs}" + (f": {told}" if told else ""), file=sys.stderr)
            _save(task, optimizer, scaler, means, description, run, step)
            saved = time.monotonic()
            if stop:
                break
    return Outcome(step, total, step - first, time.monotonic() - began)


def learning_rate(config: LoopConfig, epoch: int) -> float:
    """Learning rate of an epoch, counted from 0; cosine: lr (1 + cos(pi epoch / epochs)) / 2."""
    if config.schedule == "constant":
        return config.lr
    return config.lr * (1 + math.cos(math.pi * epoch / config.epochs)) / 2


def _bar(total: int, done: int) -> tqdm:
    terminal = sys.stderr.isatty()
    return tqdm(total=total, initial=done, desc="train", unit="step", mininterval=0.5 if terminal else 15)


def _epoch(data: Dataset, config: LoopConfig, epoch: int, done: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch that are still to be done."""
    shuffle = seeding.generator(config.seed, seeding.Purpose.ORDER, epoch)
    order = torch.randperm(len(data), generator=shuffle)
    whole = len(data) // config.batch_size * config.batch_size
    return batches(data, config.batch_size, order=order[done * config.batch_size : whole])


def _check_finite(values: Mapping[str, Tensor], step: int, run: RunFolder) -> None:
    bad = [name for name, value in values.items() if not value.isfinite().all()]
    if bad:
        raise ValueError(
            f"{bad[0]} is not finite at step {step}; a checkpoint in {run.path}, if there is one, is from before that "
            "and sound. Lower the learning rate and start again"
        )
