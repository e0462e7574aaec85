"""One copy in the memory of a machine for all its processes: the first one makes something, the others map it.

It lies in a file without a name (memfd_create), which the others open as /proc/PID/fd/NUMBER of the first: the size of
/dev/shm, 64 MB in a container, is no limit to it, and it is gone with the last process that has it, however that ends.
A process that writes to what it has gets those pages for itself.
"""

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pickle import PickleError
from typing import Any

import torch

from .once import warn_once
from .processes import gather, one_before_the_others, world

Values = Mapping[str, Any]
"""Tensors on the CPU, and what else `torch.load` reads with weights_only: numbers, strings, tuples, dictionaries."""

log = logging.getLogger(__name__)
# no memory, no /proc, another container; values that are not plain; a Python built without memfd_create
NOT_SHARED = OSError, RuntimeError, PickleError, AttributeError


@contextmanager
def once_per_machine() -> Iterator[None]:
    """Inside, one process of each machine goes first: it fetches and caches files, and makes what `held` gives.

    All processes go through the block; one inside another is a part of it. Where memory cannot be shared each makes its
    own, which a warning says.
    """
    if _current.get() is not None:
        yield
        return
    with ExitStack() as files:
        with one_before_the_others() as told:
            block = _Block(told, files)
            token = _current.set(block)
            try:
                yield
            finally:
                _current.reset(token)
        reasons = [reason for reason in gather(block.reason) if reason]  # all have opened what they take
    if reasons:
        warn_once(log, f"each process has its own copy of the data, memory cannot be shared here: {reasons[0]}")


def held(key: str, make: Callable[[], Values]) -> Values:
    """What make() gives: inside `once_per_machine` made by the first process of the machine, by a name of its own."""
    values = found(key)
    return kept(key, make()) if values is None else values


def found(key: str) -> Values | None:
    """What the first process of this machine has kept by this name; None: nothing, or nothing that can be mapped."""
    block = _current.get()
    if block is None or key not in block.told:
        return None
    try:
        return _mapped(*block.told[key])
    except NOT_SHARED as error:
        block.reason = _line(error)
        return None


def kept(key: str, values: Values) -> Values:
    """The same values; from the first process of a machine the others get them."""
    block = _current.get()
    if block is None or not block.has_others:
        return values
    name = f"fsvae-tcja-{secrets.token_hex(8)}"
    try:
        number = os.memfd_create(name)
        block.files.callback(os.close, number)
        place = f"/proc/{os.getpid()}/fd/{number}"
        torch.save(dict(values), place)
        mapped = _mapped(place, name)
    except NOT_SHARED as error:
        block.reason = _line(error)
        return values
    block.told[key] = place, name
    return mapped


@dataclass
class _Block:
    """What `once_per_machine` knows: where the first process has what, and why this one could not share it."""

    told: dict[str, tuple[str, str]]
    files: ExitStack
    reason: str = ""

    @property
    def has_others(self) -> bool:
        """Whether this process is the first of several on its machine."""
        first, alone = (os.environ.get(name) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        return world() > 1 and first in (None, "0") and alone != "1"


_current: ContextVar[_Block | None] = ContextVar("_current", default=None)


def _mapped(place: str, name: str) -> Values:
    """The values in a file without a name, which must be called so: the same place may be another in a container."""
    if name not in os.readlink(place):
        raise OSError(f"{place} is not that of the process that read the data")
    values: Values = torch.load(place, mmap=True, weights_only=True)
    return values


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
