"""What accompanies a training: rows of metrics, the display, kept memory; and one's own."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core import SpikingLayer, backend
from ..core.memory import keep_freed_memory
from ..utils.progress import Bar, progress

if TYPE_CHECKING:
    from .trainer import Trainer

_compiled: set[str] = set()  # what this process has said that it compiles


class Callback:
    """Is called by a Trainer; every method may be left as it is.

    Attributes:
        name: under which its state lies in the checkpoint; by default that of the class.
    """

    name = ""

    def __init_subclass__(cls) -> None:
        cls.name = vars(cls).get("name", cls.__name__)

    def start(self, trainer: "Trainer") -> None:
        """Before the first step of this process; a resumed run has been restored."""

    def step(self, trainer: "Trainer", losses: Mapping[str, Tensor]) -> None:
        """After each step, which was number `trainer.step`, counted from 1, with its losses as scalars."""

    def epoch_end(self, trainer: "Trainer", figures: Mapping[str, float]) -> None:
        """After the evaluation of epoch `trainer.epoch`, counted from 1; the model is still the evaluated one."""

    def state(self) -> dict[str, Any]:
        """What has to survive an interruption: tensors, and plain data for JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with what `state` gave."""

    def end(self, trainer: "Trainer") -> None:
        """At the end, also of an interrupted run and of one that failed."""


def check_names(callbacks: Sequence[Callback]) -> None:
    """Raise a ValueError if two callbacks would keep their state in the checkpoint under one name."""
    names = [one.name for one in callbacks if type(one).state is not Callback.state]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two callbacks keep their state under {twice[0]!r}; give one of them a name of its own")


class Metrics(Callback):
    """Rows of metrics: mean losses since the last row, learning rate, images per second; pictures for TensorBoard."""

    name = "sums"  # of the losses, on the device of the model

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.clock: float | None = None  # runs from the end of the first step on, and not during evaluations
        self.images = 0

    def start(self, trainer: "Trainer") -> None:
        self.clock = None

    def step(self, trainer: "Trainer", losses: Mapping[str, Tensor]) -> None:
        values = {**losses, "steps": torch.ones(())}
        self.sums = {name: self.sums.get(name, 0) + value.detach() for name, value in values.items()}
        self.images += trainer.span.stage.batch_size if self.clock else 0
        if trainer.step % trainer.config.log_every == 0 or trainer.epoch_is_over:
            trainer.check_finite(self.sums)
            trainer.row = self._means()
            trainer.run.log(trainer.step, trainer.epoch, {"lr": trainer.lr} | trainer.row | self._speed())
        self.clock = self.clock or time.monotonic()

    def _means(self) -> dict[str, float]:
        steps = self.sums.pop("steps")
        means = {name: float(total / steps) for name, total in self.sums.items()}
        self.sums = {}
        return means

    def _speed(self) -> dict[str, float]:
        """Images per second since the last row; nothing if that is the first step, which may compile."""
        if not self.images or self.clock is None:
            return {}
        now = time.monotonic()
        speed = {"images_per_second": round(self.images / (now - self.clock), 1)}
        self.images, self.clock = 0, now
        return speed

    def epoch_end(self, trainer: "Trainer", figures: Mapping[str, float]) -> None:
        trainer.run.log(trainer.step, trainer.epoch, dict(figures))
        trainer.run.log_pictures(trainer.step, trainer.epoch)
        self.images, self.clock = 0, time.monotonic()

    def state(self) -> dict[str, Any]:
        return self.sums

    def restore(self, state: Mapping[str, Any]) -> None:
        self.sums = dict(state)


class Display(Callback):
    """The progress of the run, with a line for each epoch."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def start(self, trainer: "Trainer") -> None:
        self.bar: Bar = self.stack.enter_context(progress("train", trainer.total, "steps", trainer.step))
        trainer.message = self.bar.message
        kernels = f"{trainer.device.type}, {trainer.config.precision}"
        if trainer.step < trainer.total and compiles(trainer) and kernels not in _compiled:
            _compiled.add(kernels)
            self.bar.message("compiling kernels, some 10 s in each new process ...")

    def step(self, trainer: "Trainer", losses: Mapping[str, Tensor]) -> None:
        self.bar.advance(**trainer.row)

    def epoch_end(self, trainer: "Trainer", figures: Mapping[str, float]) -> None:
        text = ", ".join(f"{name} {value:.4g}" for name, value in (figures or trainer.row).items())
        self.bar.message(f"epoch {trainer.epoch}/{trainer.epochs}" + (f": {text}" if text else ""))

    def end(self, trainer: "Trainer") -> None:
        self.stack.close()


def compiles(trainer: "Trainer") -> bool:
    """Whether the first step compiles the kernels of the CPU."""
    spiking = any(isinstance(module, SpikingLayer) for module in trainer.task.model.modules())
    return spiking and trainer.device.type == "cpu" and backend.choose("cpu", torch.float32) == "cpu"


class KeepMemory(Callback):
    """Keep freed memory from the second step on (`core.memory`): for a process that only trains, on a CPU."""

    done = False

    def step(self, trainer: "Trainer", losses: Mapping[str, Tensor]) -> None:
        if not self.done and trainer.device.type == "cpu":
            keep_freed_memory()
        self.done = True
