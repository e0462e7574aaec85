"""The custom op of the draw: schema and shapes. Kernels: cpu.py, triton.py. It has no gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .inputs import Inputs


@torch.library.custom_op("fsvae_tcja::escape_draw", mutates_args=(), device_types="cpu")
def draw(
    noise: Tensor,
    start: Tensor,
    direct: Tensor,
    scale: Tensor,
    shift: Tensor,
    W: Tensor,
    V: Tensor,
    D: Tensor,
    guidance: float,
    constants: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """The fields of `inputs.Inputs`, w, and the numbers of a LIF neuron -> bits and membranes [N, M, B], float32."""
    from . import cpu

    return cpu.draw(Inputs(noise, start, direct, scale, shift, W, V, D), guidance, constants)


@draw.register_kernel("cuda")
def _(noise, start, direct, scale, shift, W, V, D, guidance, constants):
    from . import triton

    return triton.draw(Inputs(noise, start, direct, scale, shift, W, V, D), guidance, constants)


@draw.register_fake
def _(noise, start, direct, scale, shift, W, V, D, guidance, constants):
    return tuple(noise.new_empty(noise.shape, dtype=torch.float32) for _ in range(2))
