"""Batches of a data set, read ahead by other processes where that pays."""

import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..utils.once import warn_once
from .dataset import LabelledDataset

SHARED_MEMORY = Path("/dev/shm")  # through which tensors pass between processes
READ_AHEAD = 2  # batches of each process
LONGEST_WAIT = 600  # seconds for one batch
POLL = 1  # seconds after which a waiting process looks at signals, workers and the clock

log = logging.getLogger(__name__)


def batches(
    dataset: LabelledDataset,
    batch_size: int,
    *,
    order: Tensor | None = None,
    num_workers: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over what `dataset.read` gives, (x [B, ...], labels int64 [B]); the last batch may be smaller.

    Args:
        dataset: what to read.
        batch_size: samples per batch, B >= 1.
        order: int64 [n], the indices to read; None reads all in order.
        num_workers: processes that read ahead; None takes `dataset.workers` if there is more than one batch, and none
            where shared memory is too small for their batches. The batches do not depend on it.
        stopped: asked before each batch, and every second while one is waited for; the batches end where it is true.

    Raises:
        ValueError: batch_size < 1, or what `dataset.read` raises.
        OSError: a process that reads ahead has died, none gave a batch for 10 minutes, or what `dataset.read` raises.
    """
    loader = Loader(dataset, batch_size, num_workers=num_workers, persistent=False)
    return loader.epoch(torch.arange(len(dataset)) if order is None else order, stopped)


class Loader:
    """Batches of a data set, one epoch after the other, by processes that stay from one to the next.

    Args:
        dataset, batch_size, num_workers: as for `batches`.
        persistent: whether they stay.

    Raises:
        ValueError: batch_size < 1.
    """

    def __init__(
        self, dataset: LabelledDataset, batch_size: int, *, num_workers: int | None = None, persistent: bool = True
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        self.dataset, self.batch_size = dataset, batch_size
        self.num_workers, self.persistent = num_workers, persistent
        self.indices: list[list[int]] = []  # of the epoch: the sampler
        self.loader: DataLoader | None = None

    def epoch(self, order: Tensor, stopped: Callable[[], bool] = lambda: False) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, as `batches` gives them. The one before is over."""
        return self.read([part.tolist() for part in order.split(self.batch_size) if len(part)], stopped)

    def read(
        self, indices: list[list[int]], stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The same for batches by the indices of each."""
        self.indices[:] = indices
        return self._iterate(stopped)

    def _iterate(self, stopped: Callable[[], bool]) -> Iterator[tuple[Tensor, Tensor]]:
        workers = self.num_workers
        if workers is None:
            workers = _that_fit(self.dataset, self.indices) if len(self.indices) > 1 else 0
        ahead = _ahead(self._start(workers), self.dataset, stopped) if workers else None
        found = ahead or map(self.dataset.read, self.indices)
        while not stopped() and (batch := next(found, None)) is not None:
            yield batch

    def _start(self, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The processes at the first batch of the epoch: those of the epoch before, if they answer."""
        if self.loader is not None and self.loader.num_workers == workers:
            try:
                return _started(self.loader)
            except RuntimeError:  # busy for longer than POLL, or dead
                pass
        loader = DataLoader(
            _Batches(self.dataset),
            batch_size=None,
            sampler=self.indices,
            collate_fn=_as_is,
            num_workers=workers,
            prefetch_factor=READ_AHEAD,
            timeout=POLL,
            generator=torch.Generator(),  # it draws a seed at every start; this leaves the global generator alone
            worker_init_fn=_leave_the_group,
            persistent_workers=self.persistent,
        )
        self.loader = loader if self.persistent else None
        return _started(loader)


def _that_fit(dataset: LabelledDataset, indices: list[list[int]]) -> int:
    """`dataset.workers`, or 0 if the batches that they read ahead do not fit into shared memory."""
    if not dataset.workers or not SHARED_MEMORY.is_dir():
        return dataset.workers
    sample, _ = dataset.read(indices[0][:1])
    held = READ_AHEAD * dataset.workers + 2  # one more is trained on, one is taken over
    needed = held * len(indices[0]) * sample.nbytes
    memory = shutil.disk_usage(SHARED_MEMORY)
    if needed <= memory.free:
        return dataset.workers
    warn_once(
        log,
        f"{dataset.name}: nothing is read ahead, which is slower: {dataset.workers} processes would hold "
        f"{needed / 1e6:,.0f} MB in {SHARED_MEMORY}, which has {memory.total / 1e6:,.0f} MB and too little free: "
        "give it more (docker run --shm-size), or use a smaller batch",
    )
    return 0


def _ahead(
    iterator: Iterator[tuple[Tensor, Tensor]], dataset: LabelledDataset, stopped: Callable[[], bool]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, read by other processes; an error in one of them without the traceback that DataLoader adds."""
    began = time.monotonic()
    while not stopped():
        try:
            batch = next(iterator, None)
        except (ValueError, OSError) as error:
            message = str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()
            raise (OSError if isinstance(error, OSError) else ValueError)(message) from None
        except RuntimeError as error:
            if str(error).startswith("DataLoader worker (pid"):
                raise OSError(
                    f"a process that reads {dataset.name} ahead has died: it was killed, perhaps because memory ran "
                    "out; use a smaller batch, or leave more memory free"
                ) from None
            if not str(error).startswith("DataLoader timed out"):
                raise
            if time.monotonic() - began > LONGEST_WAIT:
                raise OSError(
                    f"no batch of {dataset.name} in {LONGEST_WAIT} seconds; are its files on a disk that answers?"
                ) from None
            continue
        if batch is None:
            return
        yield batch
        began = time.monotonic()


def _started(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """An iterator of the loader. Where a worker dies it says so when it is asked for a batch.

    DataLoader's handler of SIGCHLD would raise at once, in the middle of a step, after which a model cannot be saved;
    it goes also if a loader of the user's has set it.
    """
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    iterator = iter(loader)
    of_torch = getattr(before, "__module__", "").startswith("torch.utils.data")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL if of_torch else before)
    return iterator


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """A data set whose items are batches, by the lists of their indices."""

    def __init__(self, dataset: LabelledDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.dataset.read(indices)


def _leave_the_group(worker: int) -> None:
    """Ctrl-C and the SIGTERM of `timeout` reach every process of a group; only the training loop answers them.

    SIGTERM is not ignored: by it DataLoader ends its workers. If their parent was killed they end within 5 seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        os.setpgrp()
    sys.excepthook = _say_unless_the_reader_left


def _say_unless_the_reader_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The thread that hands tensors over would print a traceback where training stops while it takes one."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _as_is(batch: Any) -> Any:
    return batch
