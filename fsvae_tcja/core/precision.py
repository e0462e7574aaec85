"""In which precision float32 products are computed, of matrices and in convolutions alike, and what a CPU lacks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal, TypeVar

import torch
from torch import backends

Value = TypeVar("Value")
Products = Literal["ieee", "tf32"]

_BACKENDS: Any = backends
_GPU = _BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn
_CPU = _BACKENDS.mkldnn.matmul, _BACKENDS.mkldnn.conv

_INSTRUCTIONS = {
    "bf16": ("avx512_bf16", "amx_bf16", "avx_ne_convert"),
    "fp16": ("avx512_fp16", "amx_fp16", "avx_ne_convert"),
}

_lock = Lock()
_inside: list["_Asked"] = []  # all threads', the latest last: PyTorch has one setting for the whole process
_outside: tuple[tuple[str | None, bool | None], tuple[str, ...]]


class _Asked:
    """One use of `float32_products`."""

    def __init__(self, precision: Products) -> None:
        self.precision = precision


@contextmanager
def float32_products(precision: Products) -> Iterator[None]:
    """Within, float32 products are exact to float32 ("ieee"), or those of a GPU rounded to TF32 with its 10 bits of
    mantissa; after, all is as before. By itself PyTorch takes TF32 for convolutions on a GPU, not for linear layers.

    PyTorch has two interfaces to it, and the older one raises where only the newer was used: both are kept in step,
    for other parts of a program (torch.compile among them) read the older. The setting is that of the process: while
    threads ask for different precisions, the latest one holds for all.
    """
    asked = _Asked(precision)
    _enter(asked)
    try:
        yield
    finally:
        _leave(asked)


def _enter(asked: _Asked) -> None:
    global _outside
    with _lock:
        if not _inside:
            _outside = _older(), current_products()
        _inside.append(asked)
        _apply(asked.precision)


def _leave(asked: _Asked) -> None:
    with _lock:
        _inside.remove(asked)
        if _inside:
            _apply(_inside[-1].precision)
        else:
            _set(*_outside)


def emulated() -> tuple[str, ...]:
    """Of bf16 and fp16 those whose products this CPU puts together from others, and is slow with: an x86-64 without the
    instructions. Of other CPUs, and by a PyTorch without `torch.cpu.get_capabilities`, nothing is known."""
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if has.get("architecture") != "x86_64":
        return ()
    return tuple(name for name, sets in _INSTRUCTIONS.items() if not any(has.get(one) for one in sets))


def current_products() -> tuple[str, ...]:
    """The precision of every kind of product, by the interface that never raises."""
    return tuple(part.fp32_precision for part in (*_GPU, *_CPU))


def _apply(precision: Products) -> None:
    products = [str(precision)] * len(_GPU) + ["ieee"] * len(_CPU)
    _set(("high" if precision == "tf32" else "highest", precision == "tf32"), products)


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
