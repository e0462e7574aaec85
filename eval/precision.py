"""float32 means float32: neither autocast nor the shortened products of some processors inside an extractor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import backends

_BACKENDS: Any = backends
_PARTS = (_BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.mkldnn.matmul, _BACKENDS.mkldnn.conv)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within, there is no autocast and no TF32 or bfloat16 in float32 products; after, all is as before."""
    before = [part.fp32_precision for part in _PARTS]
    try:
        for part in _PARTS:
            part.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for part, precision in zip(_PARTS, before, strict=True):
            part.fp32_precision = precision
