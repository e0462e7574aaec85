"""Storage types of the CPU kernels: float32, and the bits of bfloat16 (uint16) and float16 (int16).

`widen` reads a stored value as float32, `narrow` rounds a float32 to nearest even for an array to store.
"""

from typing import Any

import numba
import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload
from torch import Tensor

VIEWS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}

_F32, _I32, _I16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)


def array(x: Tensor):
    """The NumPy array that shares memory with x, halves as their bits."""
    x = x.detach()
    return (x if x.dtype is torch.float32 else x.view(VIEWS[x.dtype])).numpy()


@intrinsic
def _from_bfloat16(context, bits):
    def generate(context, builder, signature, args):
        return builder.bitcast(builder.shl(builder.zext(args[0], _I32), _I32(16)), _F32)

    return types.float32(types.uint16), generate


@intrinsic
def _to_bfloat16(context, value):
    def generate(context, builder, signature, args):
        bits = builder.bitcast(args[0], _I32)
        odd = builder.and_(builder.lshr(bits, _I32(16)), _I32(1))
        rounded = builder.add(bits, builder.add(odd, _I32(0x7FFF)))
        nan = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.trunc(builder.lshr(builder.select(nan, _I32(0x7FC00000), rounded), _I32(16)), _I16)

    return types.uint16(types.float32), generate


@intrinsic
def _from_float16(context, bits):
    def generate(context, builder, signature, args):
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), _F32)

    return types.float32(types.int16), generate


@intrinsic
def _to_float16(context, value):
    def generate(context, builder, signature, args):
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), _I16)

    return types.int16(types.float32), generate


def widen(stored):
    raise NotImplementedError("compiled by Numba only")


def narrow(array, value):
    raise NotImplementedError("compiled by Numba only")


@overload(widen, inline="always")
def _widen(stored):
    if stored == types.uint16:
        return lambda stored: _from_bfloat16(stored)
    if stored == types.int16:
        return lambda stored: _from_float16(stored)
    return lambda stored: stored


@overload(narrow, inline="always")
def _narrow(array, value):
    if array.dtype == types.uint16:
        return lambda array, value: _to_bfloat16(value)
    if array.dtype == types.int16:
        return lambda array, value: _to_float16(value)
    return lambda array, value: value


# No fastmath: the spikes must be those of the reference. Only a kernel is called from Python, and none from C.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
kernel = numba.njit(**_OPTIONS)
compile = numba.njit(**_OPTIONS | {"no_cpython_wrapper": True})
