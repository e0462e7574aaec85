"""Triton launches on the current device, wherever its arguments lie."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor


def on_its_device(function: Callable) -> Callable:
    """Make the device of the first tensor argument the current one for the call."""

    @wraps(function)
    def run(*args):
        with torch.cuda.device_of(next(x for x in args if isinstance(x, Tensor))):
            return function(*args)

    return run
