"""float32 means float32: neither autocast nor the shortened products of some processors inside an extractor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import backends

_ALL: Any = backends
_EXACT: list[tuple[Any, str, Any]]
if hasattr(backends.cuda.matmul, "fp32_precision"):  # torch 2.9
    _PARTS = (_ALL.cuda.matmul, _ALL.cudnn.conv, _ALL.mkldnn.matmul, _ALL.mkldnn.conv)
    _EXACT = [(part, "fp32_precision", "ieee") for part in _PARTS]
else:
    _EXACT = [(backends.cuda.matmul, "allow_tf32", False), (backends.cudnn, "allow_tf32", False)]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within, there is no autocast and no TF32 or bfloat16 in float32 products; after, all is as before."""
    before = [(part, name, getattr(part, name)) for part, name, _ in _EXACT]
    try:
        for part, name, value in _EXACT:
            setattr(part, name, value)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for part, name, value in before:
            setattr(part, name, value)
