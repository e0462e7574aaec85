"""Several processes that torchrun started: who this one is, and what all of them exchange. Alone, each is the identity.

Tensors on the CPU go through gloo, those on a GPU through NCCL. All processes call the same functions in one order.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(hours=2)  # for a process that fetches a data set while the others wait; a dead one is seen at once


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _several() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if _several() else 1


def total(tensor: Tensor) -> Tensor:
    """Sum of a tensor over the processes, in all of them bit for bit the same. Its gradient is that of all as well."""
    summed: Tensor = _Total.apply(tensor) if _several() else tensor
    return summed


class _Total(torch.autograd.Function):
    """Backward: what each process makes of the sum counts for the tensors of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        summed = x.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return total(grad)


def anywhere(condition: bool) -> bool:
    """Whether it holds in any process."""
    return bool(total(torch.tensor(float(condition)))) if _several() else condition


def gather(value: Any) -> list[Any]:
    """The values of all processes, by rank."""
    if not _several():
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def gather_to_first(value: Any) -> list[Any]:
    """In the first process the values of all that have one, by rank; elsewhere nothing."""
    if not _several():
        return [value]
    values: list[Any] | None = [None] * world() if rank() == 0 else None
    dist.gather_object(value, values)
    return [one for one in values or () if one is not None]


@contextmanager
def one_before_the_others() -> Iterator[dict[str, Any]]:
    """On each machine one process goes through the block before the others: it fetches and caches, they find.

    Yields:
        what the first process puts into it, the others of its machine find in it.
    """
    local = int(os.environ.get("LOCAL_RANK", "0")) if _several() else 0
    told = gather(None)[rank() - local] or {} if local else {}  # torchrun numbers those of a machine in a row
    yield told
    if not local:
        gather(told)


def started_anew() -> bool:
    """Whether torchrun has started the processes again after one of them failed."""
    return anywhere(int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0)


def own(device: torch.device) -> torch.device:
    """The device of this process: with several on a machine each takes a GPU of its own."""
    if not _several() or device.type != "cuda":
        return device
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    if device.index >= torch.cuda.device_count():
        raise ValueError(
            f"process {device.index} of this machine finds {torch.cuda.device_count()} GPUs; start one process for "
            "each GPU (--nproc-per-node), or take --device cpu"
        )
    torch.cuda.set_device(device)
    return device


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started, if it did; all but the first are silent inside.

    An error in one ends all of them, and one says it: the first that has something to say.

    Raises:
        SystemExit: another process has said what was wrong.
        ValueError: another process has ended without a word.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or _several():
        yield
        return
    store, number, size = next(dist.rendezvous("env://", timeout=PATIENCE))
    attempt = f"group {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"  # addresses of ended processes are still there
    group = dist.PrefixStore(attempt, store)
    try:  # one that is killed early ends those that are still coming
        dist.init_process_group(_backend(), store=group, rank=number, world_size=size, timeout=PATIENCE)
        with ExitStack() as stack:
            if number:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            yield
    except Exception as error:
        if _is_said(store):
            raise SystemExit(2) from error
        if _is_lost_connection(error):
            raise ValueError(
                f"another of the {size} processes has ended (killed, or out of memory?), so all do. Files are whole: a "
                "training goes on from its last checkpoint with --resume"
            ) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _backend() -> str:
    """What carries the tensors of each device. PyTorch by itself has nothing for the CPU where there is a GPU."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"


def _is_said(store: dist.Store) -> bool:
    """Whether another process says what was wrong. Who the store died with may have been killed and say nothing."""
    try:
        return store.add("errors", 1) > 1
    except dist.DistError:
        return False


def _is_lost_connection(error: Exception) -> bool:
    """gloo raises a RuntimeError like any other."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
