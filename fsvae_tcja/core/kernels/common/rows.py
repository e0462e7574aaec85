"""Loops over the rows of a tile, compiled by Numba: the building blocks of the CPU kernels.

Each touches two to four arrays, which is what LLVM turns into vector instructions without help. Rows that a kernel
works in are float32; `stored` rows may be halves (storage.py).
"""

import numpy as np

from .storage import compile, narrow, widen


@compile
def scratch(size):
    """Uninitialised float32, on a cache line of its own: a vector that spans two lines is loaded twice."""
    space = np.empty(size + 15, np.float32)
    first = -(space.ctypes.data // 4) % 16
    return space[first : first + size]


@compile
def read(row, stored):
    """An assignment of slices would do, but its check of the shapes takes seconds to compile."""
    for j in range(row.size):
        row[j] = widen(stored[j])


@compile
def write(stored, row):
    for j in range(stored.size):
        stored[j] = narrow(stored, row[j])


@compile
def write_product(stored, row, factor):
    for j in range(row.size):
        stored[j] = narrow(stored, row[j] * factor[j])


@compile
def add_product(stored, row, factor):
    for j in range(row.size):
        stored[j] = narrow(stored, widen(stored[j]) + row[j] * factor[j])


@compile
def product(row, stored, factor):
    for j in range(row.size):
        row[j] = widen(stored[j]) * factor[j]


@compile
def affine(row, stored, scale, shift):
    for j in range(row.size):
        row[j] = scale[j] * widen(stored[j]) + shift[j]


@compile
def multiply(row, factor):
    for j in range(row.size):
        row[j] *= factor[j]


@compile
def accumulate(total, stored):
    for j in range(stored.size):
        total[j] += widen(stored[j])


@compile
def accumulate_product(total, row, factor):
    for j in range(row.size):
        total[j] += row[j] * factor[j]


@compile
def accumulate_squares(total, stored, centre):
    for j in range(stored.size):
        d = widen(stored[j]) - centre[j]
        total[j] += d * d


@compile
def accumulate_affine(dscale, dshift, dx, stored):
    for j in range(dx.size):
        dscale[j] += dx[j] * widen(stored[j])
        dshift[j] += dx[j]


@compile
def repeat(row, period):
    """Fill the row with copies of `period`."""
    done = period.size
    read(row[:done], period)
    while done < row.size:
        count = min(done, row.size - done)
        read(row[done : done + count], row)
        done += count


@compile
def fold(row, period):
    """The sum of the row's stretches of length `period`, left in row[:period]."""
    rows = row.size // period
    while rows > 1:
        half = (rows + 1) // 2
        accumulate(row[: (rows - half) * period], row[half * period : rows * period])
        rows = half
