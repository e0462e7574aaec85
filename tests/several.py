"""A function in several processes that train together, as torchrun would start them."""

import os
import socket
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsvae_tcja.utils.processes import joined, total

SECONDS = 300  # that they may take
_context = get_context("forkserver")  # which imports once what all processes need
_context.set_forkserver_preload(
    [
        "torch._dynamo",  # for an optimizer
        "numba",  # for the choice of a backend
        "torch.utils.tensorboard",  # for a run
        "tests.runtime.runs_of_several",
    ]
)


def together(n: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What function(*args) returns in each of n processes; None of one that was killed, an error as it is.

    The function is one of a module, which the processes import.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found: list[Any] = [None] * n
    pipes = [_context.Pipe(duplex=False) for _ in range(n)]
    processes = [
        _context.Process(target=_process, args=(pipes[rank][1], rank, n, port, function, args), daemon=True)
        for rank in range(n)
    ]
    for process, (_, sender) in zip(processes, pipes, strict=True):
        process.start()
        sender.close()
    receivers = [receiver for receiver, _ in pipes]
    while receivers:
        ready = wait(receivers, SECONDS)
        if not ready:
            for process in processes:
                process.kill()
            raise TimeoutError(f"{len(receivers)} of {n} processes did not end within {SECONDS} s")
        for receiver in ready:
            receivers.remove(receiver)
            rank = next(i for i, (own, _) in enumerate(pipes) if own is receiver)
            try:
                found[rank] = receiver.recv()
            except EOFError:  # killed
                found[rank] = None
    for process in processes:
        process.join()
    return found


def _process(results: Connection, rank: int, n: int, port: int, function: Callable[..., Any], args: Any) -> None:
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n}
    where |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in where.items()} | {"FSVAE_TCJA_BACKEND": "reference"})
    warnings.simplefilter("error", FutureWarning)  # nobody reads what these processes print
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        try:
            with joined():
                result = function(*args)
        except (Exception, SystemExit) as error:
            result = error
    results.send(result)


def barrier() -> None:
    """Go on when all processes are here."""
    total(torch.zeros(()))


def place_of(tensor: Tensor) -> str:
    """Device and inode of the file that holds a tensor; "00:00 0": memory of this process alone."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, _, device, inode, *_ = line.split()
        start, end = (int(number, 16) for number in span.split("-"))
        if start <= tensor.data_ptr() < end:
            return f"{device} {inode}"
    raise AssertionError("in no mapping")
