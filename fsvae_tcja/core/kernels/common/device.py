"""Triton launches on the current device, wherever its arguments lie."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def on_its_device(function: Callable[P, R]) -> Callable[P, R]:
    """Make the device of the first tensor among the arguments, or in a tuple of them, the current one for the call."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        flat = (x for arg in args for x in (arg if isinstance(arg, tuple) else (arg,)))
        with torch.cuda.device_of(next(x for x in flat if isinstance(x, Tensor))):
            return function(*args, **kwargs)

    return run
