"""In which precision float32 products are computed, of matrices and in convolutions alike, whatever the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import backends

Products = Literal["ieee", "tf32"]

_BACKENDS: Any = backends
PARTS = (
    *(_BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn),
    *(_BACKENDS.mkldnn.matmul, _BACKENDS.mkldnn.conv),
)
"""All alike, or PyTorch's older interface to the same raises: another part of a program may read that one."""


@contextmanager
def float32_products(precision: Products) -> Iterator[None]:
    """Within, float32 products are exact to float32 ("ieee") or, where the device can, rounded to TF32 with its 10 bits
    of mantissa; after, all is as before. By itself PyTorch takes TF32 for convolutions on a GPU, not for linear layers.
    """
    before = current_products()
    try:
        for part in PARTS:
            part.fp32_precision = precision
        yield
    finally:
        for part, one in zip(PARTS, before, strict=True):
            part.fp32_precision = one


def current_products() -> tuple[str, ...]:
    """The precision of all parts, by the interface that never raises."""
    return tuple(part.fp32_precision for part in PARTS)
