"""Loops over the rows of a tile, compiled by Numba: the building blocks of the CPU kernels.

Each touches two to four arrays, which is what LLVM turns into vector instructions without help. Rows that a kernel
works in are float32; `stored` rows may be halves (storage.py).
"""

from .storage import compile, narrow, widen


@compile
def read(row, stored):
    for j in range(row.size):
        row[j] = widen(stored[j])


@compile
def write(stored, row):
    for j in range(row.size):
        stored[j] = narrow(stored, row[j])


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
    row[:done] = period
    while done < row.size:
        count = min(done, row.size - done)
        row[done : done + count] = row[:count]
        done += count


@compile
def fold(row, period):
    """The sum of the row's stretches of length `period`, left in row[:period]."""
    rows = row.size // period
    while rows > 1:
        half = (rows + 1) // 2
        accumulate(row[: (rows - half) * period], row[half * period : rows * period])
        rows = half
