"""Whether a CUDA graph is being recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_rehearsed = ContextVar("rehearsed", default=False)


def recording() -> bool:
    """Whether a CUDA graph is recorded, or `rehearsed`: nothing may be asked of the GPU, nor drawn by the host."""
    return _rehearsed.get() or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())


@contextmanager
def rehearsed() -> Iterator[None]:
    """Inside, everything runs as it will when it is recorded: its kernels are compiled before."""
    token = _rehearsed.set(True)
    try:
        yield
    finally:
        _rehearsed.reset(token)
