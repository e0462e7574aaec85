"""The run folder: configuration, metrics, pictures, TensorBoard logs and checkpoints of one training run.

config.json  run.json  metrics.jsonl  checkpoint.safetensors  checkpoint-previous.safetensors  model.safetensors
tensorboard/NAME/  pictures/
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..utils.atomic import leftovers, replacing, write_json
from ..utils.lock import LOCK, locked
from ..utils.once import warn_once
from ..utils.processes import rank, started_anew, world

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CONFIG = "config.json"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "checkpoint-previous.safetensors"
MODEL = "model.safetensors"
TENSORBOARD = "tensorboard"
PICTURES = "pictures"
SCORES = "scores"
log = logging.getLogger(__name__)
OWN = (".json", ".jsonl", ".safetensors")  # in the folder itself others may write pictures and arrays meanwhile


class RunFolder:
    """One training run on disk. Only one process at a time may work in it: what writes does so inside `locked`.

    Args:
        path: the folder; made by `locked` if absent.
        resume: go on in a folder that holds a run. Without it a folder with a run or a model is refused, so that
            nothing is overwritten.
        again: begin a run again that has neither checkpoint nor model yet.

    Raises:
        ValueError: the folder holds a run, or a model, and `resume` is off.
        FileNotFoundError: `resume` is on and there is no checkpoint to go on from.
    """

    def __init__(self, path: str | Path, resume: bool = False, again: bool = False) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / CHECKPOINT
        self.previous = self.path / PREVIOUS
        self.model = self.path / MODEL
        self.config = self.path / CONFIG
        self.metrics = self.path / METRICS
        self.pictures = self.path / PICTURES
        self.resume, self.again = resume, again
        self._check()
        self._tensorboard: SummaryWriter | None = None
        self._locked = False

    def _check(self) -> None:
        """That there is a run to go on with, or none, in a folder that all libraries can write to."""
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"a run cannot be kept in {self.path}: the name is not UTF-8, as TensorBoard needs it; choose another"
            ) from None
        if self.resume and not self.checkpoints:
            raise FileNotFoundError(
                f"cannot resume: no checkpoint at {self.checkpoint}; a run that ended before its first starts anew, "
                "in another folder"
            )
        if not self.resume:
            self._check_empty()

    def _check_empty(self) -> None:
        """That no run, and no model that a new one would replace, lies there."""
        there = f"{self.path} already holds a run"
        if self.checkpoints:
            raise ValueError(f"{there}: go on with --resume {self.path}, or choose another --out")
        if self.model.exists():
            raise ValueError(f"{self.model} is there already; choose another --out, or delete it")
        if self.config.exists() and not self.again:
            raise ValueError(f"{there}: it ended before its first checkpoint; delete it, or choose another --out")

    @property
    def checkpoints(self) -> list[Path]:
        """Those that are there, the newest first."""
        return [path for path in (self.checkpoint, self.previous) if path.is_file()]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the folder; inside such a block of the same object, nothing more to do.

        What killed processes left half-written is removed. A folder in which nothing was started is removed again.

        Raises:
            ValueError: the folder is in use, holds another run meanwhile, or cannot be written; or this is one of
                several processes that were started to train together.
        """
        if self._locked:
            yield
            return
        _check_joined()
        new = self._make()
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path))
            except OSError as error:
                raise ValueError(f"cannot write to the run folder {self.path}: {error.strerror}") from error
            stack.callback(self._leave, new)
            self._locked = True
            self._check()
            self._tidy()
            yield

    def _make(self) -> list[Path]:
        """Make the folder; gives what was made for it, the innermost first."""
        new = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cannot make the run folder {self.path}: {_in_the_way(self.path, error)}") from error
        return new

    def _leave(self, new: Sequence[Path]) -> None:
        self._locked = False
        if new and [path.name for path in self.path.iterdir()] == [LOCK]:
            (self.path / LOCK).unlink()
            with suppress(OSError):  # a parent that somebody else uses by now
                for path in new:
                    path.rmdir()

    def _tidy(self) -> None:
        """Remove what killed processes left of files that only a training writes."""
        found = {path for path, name in leftovers(self.path).items() if name.endswith(OWN)}
        for path in found | leftovers(self.pictures).keys() | leftovers(self.path / SCORES).keys():
            shutil.rmtree(path, ignore_errors=True)

    def start(self, config: dict[str, Any], step: int) -> None:
        """Write the configuration and drop what was logged after `step`, which will be done again."""
        from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

        self.pictures.mkdir(parents=True, exist_ok=True)
        write_json(self.config, config)
        self._keep_rows(step)
        # TensorBoard calls a run by its folder.
        folder = self.path / TENSORBOARD / self.path.resolve().name
        self._tensorboard = SummaryWriter(str(folder), purge_step=step + 1)
        _write_settings(self._tensorboard, config)

    def _keep_rows(self, step: int) -> None:
        """Of the metrics, up to this step."""
        kept = [row for row in self.read_metrics() if row["step"] <= step]
        with replacing(self.metrics) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))

    def log(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append one row of metrics, to the JSON lines and to TensorBoard."""
        with open(self.metrics, "a") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **values}) + "\n")
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)

    def log_pictures(self, step: int, epoch: int) -> None:
        """Show the pictures of an epoch, pictures/epoch-001-NAME.png, in TensorBoard as NAME."""
        if self._tensorboard is None:
            return
        prefix = f"epoch-{epoch:03d}-"
        for path in sorted(self.pictures.glob(f"{prefix}*.png")):
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._tensorboard.add_image(path.stem.removeprefix(prefix), pixels, step, dataformats="HWC")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows logged so far."""
        return read_rows(self.metrics)

    def close(self) -> None:
        """Flush and close the TensorBoard log."""
        if self._tensorboard is not None:
            self._tensorboard.close()
            self._tensorboard = None


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, if it is there. What is no row is passed over: a line that was cut off at the end
    silently."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    *lines, cut_off = text.split("\n")
    rows = [row for line in lines if (row := _row(line))]
    if odd := len([line for line in lines if line.strip()]) - len(rows):
        warn_once(log, f"{path}: {odd} of {len(lines)} lines are no rows of metrics, passed over")
    return rows + [row for row in [_row(cut_off)] if row]


def _row(line: str) -> dict[str, Any] | None:
    """A row of metrics, which has a step and an epoch; None if the line is none."""
    try:
        row = json.loads(line)
        return row if all(type(row[name]) is int for name in ("step", "epoch")) else None
    except (ValueError, RecursionError, TypeError, KeyError, IndexError):
        return None


def _in_the_way(path: Path, error: OSError) -> str:
    """Why a folder cannot be made, and what to do."""
    there = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not there.is_dir():
        return f"{there} is a file; choose another --out"
    why = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
    return f"nothing can be made in {there}{why}; choose another --out"


class PassingFolder(RunFolder):
    """The run folder of a process that keeps nothing: it knows the run, and what it writes goes with the process.

    Args:
        path: the run folder of the first process, on a disk that every machine reads.
        resume: go on with the run.

    Raises:
        FileNotFoundError: `resume` is on and there is no checkpoint to go on from.
    """

    def __init__(self, path: str | Path, resume: bool = False) -> None:
        self._folder, self._kept = TemporaryDirectory(), Path(path)
        super().__init__(self._folder.name, resume)
        self.checkpoint, self.previous = self._kept / CHECKPOINT, self._kept / PREVIOUS
        for file in self._kept.glob("[!.]*.json*") if resume else ():  # settings and metrics, none half-written
            shutil.copy(file, self.path)

    def _check(self) -> None:
        if self.resume and not has_checkpoint(self._kept):
            raise FileNotFoundError(
                f"cannot resume: process {rank()} finds no checkpoint at {self._kept / CHECKPOINT}; the run folder "
                "must lie on a disk that all machines share"
            )

    def start(self, config: dict[str, Any], step: int) -> None:
        self.pictures.mkdir(exist_ok=True)
        self._keep_rows(step)


def has_checkpoint(path: str | Path) -> bool:
    """Whether a run folder holds something to go on from, if only the checkpoint before the newest."""
    return any((Path(path) / name).is_file() for name in (CHECKPOINT, PREVIOUS))


def open_run(path: str | Path, resume: bool = False) -> RunFolder:
    """The run folder; of several processes the first one has it.

    Args:
        path: the folder.
        resume: go on in a folder that holds a run. After torchrun has started the processes anew, a run that they
            began and that has neither checkpoint nor model yet is begun again.

    Raises:
        FileNotFoundError, ValueError: as `RunFolder`.
    """
    anew = started_anew()
    if rank() > 0:
        return PassingFolder(path, resume)
    return RunFolder(path, resume, again=anew)


def _check_joined() -> None:
    """Refuse processes that were started together and do not know one another."""
    if int(os.environ.get("WORLD_SIZE") or 1) > 1 and world() == 1:
        raise ValueError(
            f"{os.environ['WORLD_SIZE']} processes were started together (WORLD_SIZE) and have not joined: train "
            "inside `with fsvae_tcja.utils.processes.joined():`, or start the program without torchrun"
        )


def _write_settings(tensorboard: "SummaryWriter", config: dict[str, Any]) -> None:
    """The configuration for TensorBoard's table of hyperparameters, in the same file as everything else."""
    from torch.utils.tensorboard.summary import hparams

    def plain(value: Any) -> bool | int | float | str:
        if isinstance(value, bool | int | float):
            return value
        return str(value).encode(errors="backslashreplace").decode()  # a path may hold bytes that are no UTF-8

    settings = {name: plain(value) for name, value in flat(config).items()}
    for summary in hparams(settings, {}):
        tensorboard.file_writer.add_summary(summary)  # type: ignore[attr-defined]  # torch declares it as None


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"T": 4}} -> {"model.T": 4}."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
