"""In which precision float32 products are computed, of matrices and in convolutions alike."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from torch import backends

Value = TypeVar("Value")
Products = Literal["ieee", "tf32"]

_BACKENDS: Any = backends
_GPU = _BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn
_CPU = _BACKENDS.mkldnn.matmul, _BACKENDS.mkldnn.conv


@contextmanager
def float32_products(precision: Products) -> Iterator[None]:
    """Within, float32 products are exact to float32 ("ieee"), or those of a GPU rounded to TF32 with its 10 bits of
    mantissa; after, all is as before. By itself PyTorch takes TF32 for convolutions on a GPU, not for linear layers.

    PyTorch has two interfaces to it, and the older one raises where only the newer was used: both are kept in step,
    for other parts of a program (torch.compile among them) read the older.
    """
    older, before = _older(), current_products()
    try:
        _set(("high" if precision == "tf32" else "highest", precision == "tf32"), _all(precision))
        yield
    finally:
        _set(older, before)


def current_products() -> tuple[str, ...]:
    """The precision of every kind of product, by the interface that never raises."""
    return tuple(part.fp32_precision for part in (*_GPU, *_CPU))


def _all(precision: Products) -> list[str]:
    return [str(precision)] * len(_GPU) + ["ieee"] * len(_CPU)


def _set(older: tuple[str | None, bool | None], precisions: Sequence[str]) -> None:
    matrices, convolutions = older
    if matrices is not None:
        torch.set_float32_matmul_precision(matrices)
    if convolutions is not None:
        _BACKENDS.cudnn.allow_tf32 = convolutions
    for part, precision in zip((*_GPU, *_CPU), precisions, strict=True):
        part.fp32_precision = precision


def _older() -> tuple[str | None, bool | None]:
    """The settings of the older interface, of matrices and convolutions; None where one contradicts the newer
    interface, and cannot be read."""
    return _read(torch.get_float32_matmul_precision), _read(lambda: bool(_BACKENDS.cudnn.allow_tf32))


def _read(setting: Callable[[], Value]) -> Value | None:
    try:
        return setting()
    except RuntimeError:
        return None
