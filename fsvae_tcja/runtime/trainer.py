"""The training loop that every model shares: order, steps, checkpoints, interruption and exact resumption."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from ..core.precision import float32_products
from ..data import LabelledDataset, limited
from ..data.prefetch import on_device
from ..data.workers import Loader
from ..utils.configuration import to_dict
from ..utils.memory import check_fits
from ..utils.processes import anywhere, rank, world
from ..utils.shares import Generator, Share
from . import checkpoint, distributed, failures, identity, seeding
from .average import Average
from .callbacks import Callback, Display, Metrics, check_names
from .config import Stage, TrainerConfig
from .graph import StepGraph
from .interrupt import stop_signal
from .lengthen import check_same, lengthened
from .memory import REMEDY, STEP, step_memory
from .remarks import remarks
from .resume import newest
from .run import RunFolder
from .schedule import factor, set_rate
from .stages import Span, spans

SAVE_SECONDS = 600  # between two checkpoints in the middle of an epoch
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Batch(NamedTuple):
    """What the losses of a step are computed from."""

    images: Tensor
    """uint8 [B, C, H, W], or what else the data set holds, on the device."""
    labels: Tensor
    """int64 [B]."""
    epoch: int
    """Counted from 0."""
    generator: torch.Generator
    """The random numbers of the step, the same in a resumed run: on the CPU, but for a run on a GPU there."""


class Task(Protocol):
    """What the trainer needs to know of a model."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def data(self) -> LabelledDataset:
        """What it is trained on."""

    def losses(self, images: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The fields of a `Batch` -> scalars; "loss" is minimised, all are logged."""

    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        """Evaluate and draw; what it returns is logged. Epochs are counted from 1."""

    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says of the model: kind and configuration."""


class StagedTask(Task, Protocol):
    """A task with more than one stage, `config.stages()`: what it is trained on may change from one to the next."""

    @property
    def beside(self) -> nn.Module | None:
        """What the stage trains besides the model: kept in the checkpoint of the run, not in the model."""

    def start_stage(self, number: int, data: LabelledDataset) -> LabelledDataset:
        """Begin a stage with the model as it is, also in a run that is resumed there.

        Args:
            number: of the stage, counted from 0; the first one is not announced.
            data: what the first stage is trained on.

        Returns:
            as many samples, in the same order, which the losses of the stage get.
        """


Loss = Callable[[Any, Batch], Tensor | dict[str, Tensor]]
"""(task, batch) -> the scalar to be minimised, or scalars to be logged of which "loss" is minimised."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps done, of how many, those that were done now, and seconds spent on them."""

    step: int
    total: int
    trained: int
    seconds: float
    signal: int = 0
    """That ended it; 0: none did."""

    @property
    def status(self) -> int:
        """The exit status of the process: 0, or 128 and the number of the signal."""
        return 0 if self.finished else 128 + (self.signal or signal.SIGINT)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.total


class Trainer:
    """Trains a task, in one stage or (`config.stages()`, `StagedTask`) several, each with an optimiser of its own.

    `fit` finishes its step when it is interrupted (Ctrl-C, SIGTERM, SIGHUP, SIGUSR1), and the evaluation if that was
    the last of an epoch, writes a checkpoint and returns; resumed, it gives bit for bit the weights of an uninterrupted
    run (CPU, one process). The global random state is neither used nor moved, unless by the task.

    Several processes (`utils.processes.joined`) share every batch, and follow one process up to rounding: the losses
    are means over images, the norms of `core` know the whole batch, random numbers for images come from `shares.drawn`.
    All evaluate and call the callbacks; the run folder of the first one is kept (`run.open_run`).

    Args:
        task: model, data and losses.
        config: the settings, kept in the run folder and in the checkpoints.
        run: where everything goes.
        device: where the model is trained.
        callbacks: called besides those for metrics and display.
        loss: what is minimised instead of the task's losses. It may call them: `task.losses(*batch)`.
        order: epoch, from 0 -> int64 [n], the images of the epoch as they are shown, as many in each; a last smaller
            batch is trained on. None: each image once, shuffled by seed and epoch, a last smaller batch left out.
        init_from: a checkpoint, or a run folder, whose weights the model starts from.

    Attributes:
        step: steps done, of `total`, in all stages.
        span: the stage, and where it lies in the run.
        epoch: that the last step belonged to, counted from 1, of `epochs`.
        lr: learning rate of the last step.
        row: mean losses of the last row of metrics.
        message: shows a line of text.

    Raises:
        ValueError: fewer images than one batch, weights to start from that do not fit the model, or two callbacks whose
            state would have one name.
    """

    def __init__(
        self,
        task: Task,
        config: TrainerConfig,
        run: RunFolder,
        *,
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        loss: Loss | None = None,
        order: Callable[[int], Tensor] | None = None,
        init_from: Path | None = None,
    ) -> None:
        self.task, self.config, self.run = task, config, run
        self.device = torch.device(device)
        self.data = limited(task.data, config.limit or None)
        self.loss = loss or (lambda task, batch: task.losses(*batch))
        self.order = order or self._shuffled
        self.callbacks = [Metrics(), Display(), *callbacks]
        check_names(self.callbacks)
        self.spans = spans(config.stages(), lambda stage: self._steps_per_epoch(stage, order))
        self.total = self.spans[-1].end
        self.epochs = self.spans[-1].epoch(self.total)
        self.step = 0
        self.row: dict[str, float] = {}
        self.message: Callable[[str], None] = print
        self.notes: dict[str, Any] = {}
        self.saved_step: int | None = None
        self.aside: Path | None = run.previous  # where the checkpoint goes that is replaced; None: it is lost
        if init_from:
            self.notes["init_from"] = checkpoint.start_from(task.model, init_from, task.metadata()["kind"])
        if self.device.type == "cpu":
            check_fits(step_memory(task.model, config), STEP, REMEDY)
        self.task.model.to(self.device)
        self.generator = Generator(seeding.home(self.device))
        if config.graph and world() > 1:
            raise ValueError("--graph records the step of one process, found several; train without it")
        self.graph = StepGraph(self._compute, self.generator) if config.graph and self.device.type == "cuda" else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.autocast = torch.autocast(self.device.type, _DTYPES[config.precision], enabled=config.precision != "fp32")
        self._enter(self.spans[0])

    def _steps_per_epoch(self, stage: Stage, order: Callable[[int], Tensor] | None) -> int:
        steps = ceil(len(order(0)) / stage.batch_size) if order else len(self.data) // stage.batch_size
        if steps == 0:
            raise ValueError(
                f"{self.config.data} has {len(self.data)} training images, fewer than one batch of {stage.batch_size}; "
                "use a smaller batch_size"
            )
        distributed.shares(stage.batch_size, self.config.accumulate)
        if order and (rest := len(order(0)) % stage.batch_size):
            distributed.shares(rest, self.config.accumulate)
        return steps

    def _enter(self, span: Span) -> None:
        """Everything that the steps of a stage need."""
        self.span, stage, model = span, span.stage, self.task.model
        self.stage_data = self.data
        if span.number:
            self.stage_data = cast(StagedTask, self.task).start_stage(span.number, self.data)
        self.loader = Loader(self.stage_data, stage.batch_size)
        on_gpu, graph = self.device.type == "cuda", self.graph is not None
        rate = torch.tensor(stage.lr, device=self.device) if graph else stage.lr
        self.optimizer = torch.optim.AdamW(
            self._parameters(), rate, stage.betas, weight_decay=stage.weight_decay,
            foreach=not on_gpu, fused=on_gpu, capturable=graph,
        )  # fmt: skip
        if self.graph:
            self.graph.restart()
        self.average = Average(model, self.config.ema) if self.config.ema else None
        self.replica = distributed.Replica(self._losses, [model, *([self._beside] if self._beside else [])])

    def _parameters(self) -> list[nn.Parameter]:
        """What the stage trains."""
        return [*self.task.model.parameters(), *(self._beside.parameters() if self._beside else ())]

    @property
    def _beside(self) -> nn.Module | None:
        """What the stage trains besides the model."""
        return cast(StagedTask, self.task).beside if self.span.number else None

    # the loop

    def fit(self, resume: bool = False) -> Outcome:
        """Train to the end, or to an interruption; with averaged weights the model has these afterwards.

        Args:
            resume: go on from the newest sound checkpoint in the run folder. `epochs` and `steps` may differ from those
                before.

        Raises:
            ValueError: a checkpoint of another configuration or run, other data, a loss that is not finite, or a run
                folder in use.
            OSError: the disk is full or cannot be written, memory is lacking, or a loader process has ended.
        """
        with self.run.locked(), stop_signal() as self.stop:
            try:
                return self._fit(resume)
            except Exception as error:
                if self.stop and not isinstance(error, ValueError | OSError):  # Ctrl-C reaches compilers too
                    raise KeyboardInterrupt from error
                told = failures.explained(error, self.step, self._saved)
                if told is error:
                    raise
                raise told from error

    def _fit(self, resume: bool) -> Outcome:
        began = time.monotonic()
        messages = self._restore() if resume else []
        if not resume:
            self.identity = identity.new(self.config, self.task.data, self.notes)
        self.saved = began
        first = self.step
        self.run.start(to_dict(self.config), self.step)
        identity.write(self.run.path, self.identity)
        with closing(self.run), ExitStack() as stack:
            stack.callback(self._call, "end")
            self._prepare_gpu(stack)
            self._call("start")
            for line in [*remarks(self.config, self.device), *messages]:
                self.message(line)
            while self.step < self.total:
                if self.step == self.span.end:
                    self._next_stage()
                before = self.step
                self._train_epoch()
                if self._to_be_evaluated and self.step > before:
                    self._evaluate()
                self._save_steps()
                if self._stops():
                    break
        self._take_average()
        return Outcome(self.step, self.total, self.step - first, time.monotonic() - began, sum(self.stop[:1]))

    @property
    def _saved(self) -> str:
        """What a run that failed has left to go on from."""
        if self.saved_step is None:
            return "there is no checkpoint yet"
        return f"the checkpoint of step {self.saved_step} is sound: --resume {self.run.path} goes on from it"

    def _next_stage(self) -> None:
        self._take_average()
        span = self.spans[self.span.number + 1]
        self.message(f"stage {span.number + 1} of {len(self.spans)}: {span.total:,} step{'s' * (span.total != 1)}")
        self._enter(span)

    def _prepare_gpu(self, stack: ExitStack) -> None:
        """The precision of products, and the stream on which a step is recorded, for the time of the training."""
        if self.device.type == "cuda":
            stack.enter_context(float32_products("tf32" if self.config.tf32 else "ieee"))
        if self.graph:
            self.graph.stream.wait_stream(torch.cuda.current_stream(self.device))
            stack.enter_context(torch.cuda.stream(self.graph.stream))

    def _take_average(self) -> None:
        """Give the model its averaged weights, if there are any, at the end of a stage."""
        if self.average:
            self.task.model.load_state_dict(self.average.state)

    def _stops(self) -> bool:
        """Whether a process was interrupted: all stop after the same step."""
        if anywhere(bool(self.stop)) and not self.stop:
            self.interrupt()
        return bool(self.stop)

    def interrupt(self) -> None:
        """Stop after this step, as Ctrl-C does; for callbacks."""
        self.stop.append(0)

    def _train_epoch(self) -> None:
        """The steps of an epoch that are still to be done, to an interruption."""
        self.task.model.train()
        batches = self._batches()
        for images, labels, shares in batches if world() > 1 else self.stop.until(batches):
            losses = self._train_step(images, labels, shares)
            self._call("step", losses)
            if self._stops() or self.epoch_is_over:
                break
            if time.monotonic() - self.saved > SAVE_SECONDS:
                self.save()

    def _train_step(self, images: Tensor, labels: Tensor, shares: list[Share]) -> dict[str, Tensor]:
        """One step of the optimiser; returns the losses of the batch, means over its parts in all processes."""
        self.generator.manual_seed(seeding.word(self.config.seed, seeding.Purpose.STEP, self.step))
        span = self.span
        self.lr = span.stage.lr * factor(span.stage, self.step - span.first, span.total)
        set_rate(self.optimizer, self.lr)
        if self.graph:
            means = self.graph(images, labels, (span.number, span.position(self.step)[0]))
        else:
            means = self._compute(images, labels, shares)
        self.step += 1
        if self.average:
            self.average.update(self.step - span.first)
        return distributed.summed(means)

    def _compute(self, images: Tensor, labels: Tensor, shares: list[Share] | None = None) -> dict[str, Tensor]:
        """The step as the device sees it."""
        epoch, _ = self.span.position(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        shares = shares or distributed.shares(len(images), self.config.accumulate)
        sizes, whole = [share.n for share in shares], sum(share.whole for share in shares)
        for x, y, share in zip(images.split(sizes), labels.split(sizes), shares, strict=True):
            part = share.n / whole
            self.generator.share = share if world() > 1 else None
            with self.replica.part(share, last=share is shares[-1]):
                losses = self.replica(Batch(x, y, epoch, self.generator))
                self.scaler.scale(losses["loss"] * (part * world())).backward()
            means = {name: means.get(name, 0) + value.detach() * part for name, value in losses.items()}
        self._update()
        return means

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        with self.autocast:
            losses = self.loss(self.task, batch)
        if isinstance(losses, Tensor):
            return {"loss": losses}
        if "loss" not in losses:
            raise ValueError(f'losses must hold "loss", which is minimised; found {list(losses)}')
        return losses

    def _update(self) -> None:
        """Move the weights along the gradient."""
        if self.config.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters(), self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _evaluate(self) -> None:
        self.check_finite(self.task.model.state_dict())
        self.task.model.eval()
        with self.average.in_model() if self.average else nullcontext():
            figures = self.task.end_of_epoch(self.epoch, self.run)
            self._call("epoch_end", figures)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the last step belonged to."""
        return self.span.epoch(self.step)

    @property
    def epoch_is_over(self) -> bool:
        """Whether the last step was the last of its epoch, or of its stage."""
        return self.span.ends_epoch(self.step)

    @property
    def first_evaluated(self) -> int:
        """The first epoch that is evaluated, counted from 1."""
        return min(self.config.evaluate_every, self.spans[0].epoch(self.spans[0].end))

    @property
    def _to_be_evaluated(self) -> bool:
        last = self.step == self.span.end
        return self.epoch_is_over and (last or self.epoch % self.config.evaluate_every == 0)

    def _call(self, method: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, method)(self, *arguments)

    # data

    def _shuffled(self, epoch: int) -> Tensor:
        shuffle = seeding.generator(self.config.seed, seeding.Purpose.ORDER, epoch)
        whole = self.span.steps_per_epoch * self.span.stage.batch_size
        return torch.randperm(len(self.data), generator=shuffle)[:whole]

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, list[Share]]]:
        """What this process has of the batches of this epoch that are still to be done: in each of their parts.

        Where they cannot be read the steps so far are saved.
        """
        epoch, done = self.span.position(self.step)
        size = self.span.stage.batch_size
        orders = self.order(epoch)[done * size :].split(size)
        shares = [distributed.shares(len(order), self.config.accumulate) for order in orders]
        indices = [distributed.own(order, shared) for order, shared in zip(orders, shares, strict=True)]
        try:
            read = self.loader.read(indices, stopped=lambda: bool(self.stop) and world() == 1)
            for (images, labels), shared in zip(on_device(read, self.device), shares, strict=False):
                yield images, labels, shared
        except Exception:
            self._save_steps()
            raise

    # checkpoints

    def _save_steps(self) -> None:
        """Save if steps were done since the last time. In a stage without a step the checkpoint before it is right."""
        if self.step != self.saved_step:
            self.save()

    def save(self) -> None:
        """Write the model, and the checkpoint to go on from."""
        model = self.task.model.state_dict()
        own = {f"{one.name}.{name}": value for one in self.callbacks for name, value in one.state().items()}
        tensors = {name: value for name, value in own.items() if isinstance(value, Tensor)}
        plain = {name: value for name, value in own.items() if name not in tensors}
        beside = _named("beside.", self._beside.state_dict()) if self._beside else {}
        sums = _under(f"{Metrics.name}.", tensors)  # what other callbacks keep may begin at inf
        self.check_finite(_named("model.", model) | beside | sums)
        if rank() == 0:
            self._write(model, tensors | beside, plain)
        self.saved, self.saved_step = time.monotonic(), self.step

    def _write(self, model: Mapping[str, Tensor], others: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """The files of `save`: the model, what else the checkpoint holds of tensors, and of plain data of callbacks."""
        metadata = self.task.metadata() | {
            "step": self.step,
            "images": len(self.data),
            "training": to_dict(self.config),
            "scaler": self.scaler.state_dict(),
        }
        metadata |= ({"callbacks": dict(plain)} if plain else {}) | self.notes
        states = self.optimizer.state_dict()["state"]
        moments = {f"optimizer.{i}.{name}": t for i, state in states.items() for name, t in state.items()}
        average = self.average.state if self.average else {}
        # The checkpoint last: a run killed between the two does the missing steps again and rewrites the model.
        checkpoint.write(self.run.model, _named("model.", average or model), metadata)
        everything = _named("model.", model) | moments | _named("average.", average) | dict(others)
        metadata |= {"optimizer": sorted(states)} | self.identity
        checkpoint.write(self.run.checkpoint, everything, metadata, self.aside)
        self.aside = self.run.previous

    def _restore(self) -> list[str]:
        """Go on from the checkpoint of the run; returns what there is to say about it."""
        path, tensors, metadata, moments, messages = newest(self.run)
        if path == self.run.previous:  # the one after it is damaged, and must not take the place of what is sound
            self.aside = None
        self.identity = identity.resumed(self.run.path, path, metadata, self.task.data)
        same_data = identity.same_data(metadata, self.task.data)
        before = check_same(metadata["training"], self.config, self.run, same_data)
        if metadata.get("images") != len(self.data):
            raise ValueError(
                f"{self.run.path} was trained on {metadata.get('images')} images, found {len(self.data)}; "
                "resume it on the same data"
            )
        messages.append(f"going on after step {metadata['step']:,}, saved in {path.name}")
        messages += lengthened(before, self.config, metadata["step"], self.spans[0].steps_per_epoch, self.run)
        checkpoint.load_into(self.task.model, _under("model.", tensors), path)
        self.step = self.saved_step = metadata["step"]
        current = [span for span in self.spans if self.step > span.first][-1:]
        if current and current[0].number:
            self._enter(current[0])
            # A stage may begin by filling buffers; on another machine it may find other values than before.
            checkpoint.load_into(self.task.model, _under("model.", tensors), path)
        if isinstance(self.task.model, checkpoint.Remembers):
            self.task.model.remember(metadata)
        if self._beside:
            self._beside.load_state_dict(_under("beside.", tensors))
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": self._laid_out(moments)})
        self.scaler.load_state_dict(metadata["scaler"])
        if self.average:
            self.average.restore(_under("average.", tensors))
        for callback in self.callbacks:
            prefix = f"{callback.name}."
            callback.restore(_under(prefix, tensors) | _under(prefix, metadata.get("callbacks", {})))
        if "init_from" in metadata:
            self.notes["init_from"] = metadata["init_from"]
        return messages

    def _laid_out(self, moments: Mapping[int, Mapping[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
        """The optimiser's state of each parameter in the memory layout of that, as the fused step of a GPU demands."""
        parameters = self._parameters()

        def like(x: Tensor, parameter: Tensor) -> Tensor:
            return torch.empty_like(parameter, dtype=x.dtype).copy_(x) if x.shape == parameter.shape else x

        return {i: {name: like(x, parameters[i]) for name, x in state.items()} for i, state in moments.items()}

    def check_finite(self, values: Mapping[str, Tensor]) -> None:
        """Raise a ValueError that names the first of these tensors that is not finite."""
        bad = [name for name, value in values.items() if not value.isfinite().all()]
        if bad:
            raise ValueError(
                f"{bad[0]} is not finite at step {self.step}; a checkpoint in {self.run.path}, if there is one, is "
                "from before that and sound. Lower the learning rate and start again"
            )


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _under(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
