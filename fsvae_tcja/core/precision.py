"""In which precision float32 products are computed, of matrices and in convolutions alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import backends

Products = Literal["ieee", "tf32"]

_BACKENDS: Any = backends
_GPU = _BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn
_CPU = _BACKENDS.mkldnn.matmul, _BACKENDS.mkldnn.conv
_OLDER = _BACKENDS.cuda.matmul, _BACKENDS.cudnn  # which have an `allow_tf32` besides


@contextmanager
def float32_products(precision: Products) -> Iterator[None]:
    """Within, float32 products are exact to float32 ("ieee"), or those of a GPU rounded to TF32 with its 10 bits of
    mantissa; after, all is as before. By itself PyTorch takes TF32 for convolutions on a GPU, not for linear layers.

    PyTorch has two interfaces to it, and the older one raises where only the newer was used: both are kept in step,
    for other parts of a program (torch.compile among them) read the older.
    """
    flags, before = [_allowed(part) for part in _OLDER], current_products()
    try:
        _set([precision == "tf32"] * len(_OLDER), [precision] * len(_GPU) + ["ieee"] * len(_CPU))
        yield
    finally:
        _set(flags, before)


def current_products() -> tuple[str, ...]:
    """The precision of every kind of product, by the interface that never raises."""
    return tuple(part.fp32_precision for part in (*_GPU, *_CPU))


def _set(flags: list[bool | None], precisions: Any) -> None:
    for part, flag in zip(_OLDER, flags, strict=True):
        if flag is not None:
            part.allow_tf32 = flag
    for part, precision in zip((*_GPU, *_CPU), precisions, strict=True):
        part.fp32_precision = precision


def _allowed(part: Any) -> bool | None:
    """The older flag; None where it contradicts the newer ones, and cannot be read."""
    try:
        return bool(part.allow_tf32)
    except RuntimeError:
        return None
