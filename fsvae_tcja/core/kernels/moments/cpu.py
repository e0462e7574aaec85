"""Moments of a channels-last input on the CPU: y is read once forward and once backward."""

import numpy as np
import torch
from torch import Tensor

from ..common import threads
from ..common.layout import by_position, repeated
from ..common.rows import accumulate, accumulate_squares, affine, fold, repeat, write
from ..common.storage import array, kernel

BLOCK = 1024  # values summed side by side: short rows of channels still fill the vector registers


@kernel
def _forward(y, mean, squares, block, first, stop):
    """y [S, P*C] -> mean over P and sum of squared distances to it, each [S, C]."""
    length, channels = y.shape[1], mean.shape[1]
    total, centre = np.empty(block, np.float32), np.empty(block, np.float32)
    share = np.float32(channels / length)
    for n in range(first, stop):
        total[:] = 0
        for lo in range(0, length, block):
            accumulate(total, y[n, lo : lo + block])
        fold(total, channels)
        for c in range(channels):
            mean[n, c] = total[c] * share
        repeat(centre, mean[n])
        total[:] = 0
        for lo in range(0, length, block):
            accumulate_squares(total, y[n, lo : lo + block], centre)
        fold(total, channels)
        write(squares[n], total)


@kernel
def _backward(grad, y, offset, slope, block, first, stop):
    """grad += offset[s, c] + slope[c] y, in place."""
    length = y.shape[1]
    row, offsets = np.empty(block, np.float32), np.empty(block, np.float32)
    for n in range(first, stop):
        repeat(offsets, offset[n])
        for lo in range(0, length, block):
            hi = min(lo + block, length)
            x = row[: hi - lo]
            affine(x, y[n, lo:hi], slope, offsets)
            accumulate(x, grad[n, lo:hi])
            write(grad[n, lo:hi], x)


def _block(channels: int, length: int) -> int:
    return min(max(1, BLOCK // channels) * channels, length)


def forward(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.moments. The variance is that of the samples about their means plus that of the means."""
    rows, channels = by_position(y).flatten(1), y.shape[1]
    samples, length = rows.shape
    mean, squares = y.new_empty(2, samples, channels, dtype=torch.float32)
    args = array(rows), array(mean), array(squares), _block(channels, length)
    threads.run(lambda _, lo, hi: _forward(*args, lo, hi), samples, threads.chunks(samples, rows.numel()))
    wide = mean.double()
    batch_mean = wide.mean(0)
    within = squares.sum(0, dtype=torch.float64) / (samples * (length // channels))
    variance = within + (wide - batch_mean).square().mean(0)
    return mean.clone(), batch_mean.float(), variance.float()


def backward(grad: Tensor, d_space: Tensor | None, d_mean: Tensor, d_variance: Tensor, y: Tensor, mean: Tensor) -> None:
    """Adds the gradient of y through its moments to `grad`, channels-last, in place."""
    rows, channels = by_position(y).flatten(1), y.shape[1]
    samples, length = rows.shape
    count = samples * (length // channels)
    slope = 2 * d_variance / count
    d_space = mean.new_zeros(samples, channels) if d_space is None else d_space
    offset = d_space * (channels / length) + (d_mean / count - slope * mean)
    block = _block(channels, length)
    out = by_position(grad).view(samples, length)
    args = array(out), array(rows), array(offset), array(repeated(slope, block // channels)), block
    threads.run(lambda _, lo, hi: _backward(*args, lo, hi), samples, threads.chunks(samples, rows.numel()))
