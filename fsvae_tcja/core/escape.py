"""Drawing bits from a spiking network with escape-noise output neurons: kernels/escape has the equations."""

import torch
from torch import Tensor

from .kernels.escape import reference, register
from .kernels.escape.inputs import Inputs
from .neuron import NeuronModule, for_kernels

BLOCK = 64  # images in a pass of the reference: always as many, for products of another size may round otherwise


@torch.no_grad()
def escape_draw(inputs: Inputs, neuron: NeuronModule, guidance: float = 0.0) -> tuple[Tensor, Tensor]:
    """Bits z and the membranes u that they fire by, both [N, M, B]; image i does not depend on the others.

    Args:
        inputs: the network and the noise, K = 2 with guidance.
        neuron: the hidden neurons.
        guidance: w >= 0 of u = u_0 + w (u_0 - u_1).
    """
    constants = for_kernels(neuron, inputs.W)
    if constants is not None:
        z, u = register.draw(*inputs, guidance, constants.constants)
        return z, u
    if torch.compiler.is_compiling():  # a graph is for any number of images
        return reference.draw(inputs, guidance, neuron.step)
    parts = [_drawn(inputs, first, neuron, guidance) for first in range(0, max(1, len(inputs.noise)), BLOCK)]
    z, u = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return z, u


def _drawn(inputs: Inputs, first: int, neuron: NeuronModule, guidance: float) -> tuple[Tensor, ...]:
    """Images first.. of the reference, up to BLOCK of them."""
    images = slice(first, first + BLOCK)
    n = len(inputs.noise[images])
    block = inputs._replace(
        noise=_padded(inputs.noise[images], 0),
        start=_padded(inputs.start[:, images], 1),
        direct=_padded(inputs.direct[:, images], 1),
    )
    return tuple(x[:n] for x in reference.draw(block, guidance, neuron.step))


def _padded(x: Tensor, axis: int) -> Tensor:
    """x with zeros behind, up to BLOCK along `axis`."""
    missing = x.new_zeros(*x.shape[:axis], BLOCK - x.shape[axis], *x.shape[axis + 1 :])
    return torch.cat([x, missing], dim=axis)
