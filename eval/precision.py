"""float32 means float32: neither autocast nor the shortened products of some processors inside an extractor."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fsvae_tcja.core.precision import float32_products


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within, there is no autocast and no TF32 or bfloat16 in float32 products; after, all is as before."""
    with float32_products("ieee"), torch.autocast(device.type, enabled=False):
        yield
