"""The draw on the CPU, compiled by Numba. Equations: README.md of this folder.

A tile of images runs through all micro-steps, one micro-step after the other, so that the weights of a micro-step are
read from the cache for all images but the first. Bits and spikes are lists of the neurons that fired, whose rows are
added in the order of their numbers: what an image is does not depend on the others.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...params import Constants
from ..common import threads
from ..common.rows import read, scratch
from ..common.storage import array, compile, kernel
from .inputs import Inputs

TILE = 16  # images, whose currents and membranes fit the second-level cache


@compile
def _add_rows(total, rows, chosen, first):
    """total += rows[chosen][first:], row after row; four of them in a pass over total."""
    n, whole = total.size, chosen.size // 4 * 4
    for i in range(0, whole, 4):
        a, b = rows[chosen[i], first:], rows[chosen[i + 1], first:]
        c, d = rows[chosen[i + 2], first:], rows[chosen[i + 3], first:]
        for j in range(n):
            total[j] = (((total[j] + a[j]) + b[j]) + c[j]) + d[j]
    for i in range(whole, chosen.size):
        a = rows[chosen[i], first:]
        for j in range(n):
            total[j] += a[j]


@compile
def _fire(spikes, c, v, scale, shift, neuron):
    """One step of the hidden neurons by the current scale c + shift; v_{m-1} -> v_m in place."""
    for h in range(v.size):
        u = neuron.decay * v[h] + neuron.gain * (scale[h] * c[h] + shift[h])
        fired = u > neuron.threshold
        spikes[h] = 1 if fired else 0
        v[h] = neuron.keep * u - neuron.drop if fired else u


@compile
def _chosen(fired, numbers):
    """The numbers of those that fired, in order, in the front of `numbers`."""
    count = 0
    for h in range(fired.size):
        numbers[count] = h
        count += fired[h]
    return numbers[:count]


@kernel
def _draw(noise, start, direct, scale, shift, W, V, D, guidance, neuron, tile, z, u, first, stop):
    """Images first..stop - 1; z and u are written."""
    K, _, H = start.shape
    _, M, B = noise.shape
    L = M * B
    c, v = scratch(tile * K * H).reshape(tile, K, H), scratch(tile * K * H).reshape(tile, K, H)
    d = scratch(tile * K * L).reshape(tile, K, L)
    fired, numbers = np.empty(max(H, B), np.uint8), np.empty(max(H, B), np.int64)
    for lo in range(first, stop, tile):
        images = min(tile, stop - lo)
        for i in range(images):
            for k in range(K):
                read(c[i, k], start[k, lo + i])
                read(d[i, k], direct[k, lo + i])
        v[:] = 0
        for m in range(M):
            at = m * B
            for i in range(images):
                n = lo + i
                for k in range(K):
                    _fire(fired[:H], c[i, k], v[i, k], scale, shift[m], neuron)
                    _add_rows(d[i, k, at : at + B], V[m], _chosen(fired[:H], numbers), 0)
                for j in range(B):
                    membrane = d[i, 0, at + j]
                    if K > 1:
                        membrane += guidance * (membrane - d[i, 1, at + j])
                    probability = 1 / (1 + np.exp(-np.float64(membrane)))
                    fired[j] = 1 if noise[n, m, j] < probability else 0
                    u[n, m, j] = membrane
                    z[n, m, j] = fired[j]
                chosen = _chosen(fired[:B], numbers)
                for k in range(K):
                    _add_rows(c[i, k], W[m], chosen, 0)
                    _add_rows(d[i, k, at + B :], D[at : at + B], chosen, at + B)


def draw(inputs: Inputs, guidance: float, constants: Sequence[float]) -> tuple[Tensor, Tensor]:
    """As reference.draw, float32."""
    plain = [x.float().contiguous() for x in inputs]
    K, n, H = inputs.start.shape
    z, u = torch.empty_like(plain[0]), torch.empty_like(plain[0])
    parts = threads.chunks(n, K * n * inputs.V.shape[0] * H)
    tile = max(1, min(TILE, -(-n // parts)))
    args = (
        *map(array, plain),
        np.float32(guidance),
        Constants._make(map(np.float32, constants)),
        tile,
        array(z),
        array(u),
    )
    threads.run(lambda _, lo, hi: _draw(*args, lo, hi), n, parts)
    return z, u
