"""Runs a kernel that releases the interpreter lock on the threads that PyTorch computes with.

After each of its own operations PyTorch's OpenMP threads spin for some milliseconds in wait of the next: threads of
another pool would have to share the cores with them. So the kernels join the same team (GNU OpenMP, Linux); where it
cannot be had they run in a pool of Python's.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from ....utils.cpus import cpus

GRAIN = 1 << 16  # values below which a second thread costs more than it brings

Task = Callable[[int, int, int], None]
_REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def chunks(items: int, values: int) -> int:
    """Into how many parts to split `items` units of work that touch `values` numbers in all."""
    return min(torch.get_num_threads(), items) if values > GRAIN else 1


def run(task: Task, items: int, parts: int) -> None:
    """Call task(part, first, last) for each of `parts` equal ranges of `items`."""
    bounds = [items * i // parts for i in range(parts + 1)]
    work = [(i, bounds[i], bounds[i + 1]) for i in range(parts)]
    if parts <= 1:
        task(0, 0, items)
    elif (library := _openmp()) is not None:
        _run_in_team(library, task, work)
    else:
        for done in _pool().map(lambda args: task(*args), work):
            assert done is None


@cache
def _openmp() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libgomp.so.1")  # the copy that PyTorch has loaded
        library.GOMP_parallel.argtypes = [_REGION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        return library
    except (OSError, AttributeError):
        return None


def _run_in_team(library: ctypes.CDLL, task: Task, work: list[tuple[int, int, int]]) -> None:
    failures = []

    def region(_: int) -> None:
        try:
            for args in work[library.omp_get_thread_num() :: library.omp_get_num_threads()]:
                task(*args)
        except BaseException as failure:  # must not unwind into C
            failures.append(failure)

    library.GOMP_parallel(_REGION(region), None, len(work), 0)
    if failures:
        raise failures[0]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpus(), thread_name_prefix="fsvae-tcja")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
