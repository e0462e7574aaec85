"""The generator as one function of a tensor: what the exported files compute, without random numbers of their own."""

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core import NeuronModule
from ..utils.spelling import choose
from ..vae import FSVAE
from ..vae.noise import Source

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1


class Given(Source):
    """The noise of images as uniform numbers [N, width] in [0, 1), taken from the left."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__(numbers.shape[0], numbers.device)
        self.numbers = numbers.clamp(max=BELOW_ONE)
        self.taken = 0

    def integers(self, k: int, steps: int, width: int) -> Tensor:
        return (k * self.uniform(steps, width)).long()

    def uniform(self, steps: int, width: int) -> Tensor:
        first, self.taken = self.taken, self.taken + steps * width
        return self.numbers[:, first : self.taken].unflatten(1, (steps, width)).transpose(0, 1)

    def normal(self, steps: int, width: int) -> Tensor:
        """Of two uniform numbers each (Box and Muller 1958): ONNX has no inverse of the normal distribution."""
        radius = (-2 * torch.log(1 - self.uniform(steps, width))).sqrt()
        return radius * torch.cos(2 * torch.pi * self.uniform(steps, width))


class FromNoise(nn.Module):
    """Uniform numbers [N, width] in [0, 1) -> images [N, C, H, W] in [-1, 1], drawn from the prior."""

    def __init__(self, model: FSVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, noise: Tensor) -> Tensor:
        return self.model.decode(self.model.latent.sample(self.model.latent.noise(Given(noise))))


class FromCode(nn.Module):
    """Codes z [T, N, L] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, model: FSVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        return self.model.decode(z)


class Input(NamedTuple):
    """What an exported generator takes."""

    network: Callable[[FSVAE], nn.Module]
    example: Callable[[FSVAE], Tensor]
    batch: int
    """The axis of the images, of any number."""


INPUTS = {
    "noise": Input(FromNoise, lambda model: torch.full((2, noise_width(model)), 0.5), 0),
    "z": Input(FromCode, lambda model: torch.zeros(model.config.T, 2, model.config.L), 1),
}


def noise_width(model: FSVAE) -> int:
    """Uniform numbers that an image is drawn from."""
    source = _Counting(torch.empty(1, 0))
    model.latent.noise(source)
    return source.taken


class _Counting(Given):
    def uniform(self, steps: int, width: int) -> Tensor:
        self.taken += steps * width
        return torch.full((steps, 1, width), 0.5)


def portable(model: FSVAE) -> FSVAE:
    """A copy on the CPU in eval mode whose neurons are plain PyTorch: no file can hold the fused kernels.

    Its weights are laid out row by row: `torch.export.save` takes channels-last ones for parts of others, and warns.
    """
    copy = deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)
    for module in copy.modules():
        if isinstance(module, NeuronModule):
            module.backend = "reference"
    return copy


def program(
    model: FSVAE, what: str, wrap: Callable[[nn.Module], nn.Module] | None = None
) -> torch.export.ExportedProgram:
    """The generator as a graph for any number of images.

    Args:
        model: it is left as it was.
        what: a key of `INPUTS`.
        wrap: puts something around the network.

    Raises:
        ValueError: an unknown input.
    """
    given = choose(INPUTS, what, "input")
    model = portable(model)
    network = given.network(model)
    # Without gradient, or the graph of the training would be kept beside that of the drawing.
    with torch.no_grad():
        return torch.export.export(
            wrap(network) if wrap else network,
            (given.example(model),),
            dynamic_shapes=({given.batch: torch.export.Dim.DYNAMIC},),
        )


def described(model: FSVAE, what: str) -> str:
    """What goes in and what comes out, for the user."""
    c = model.config
    inputs = {
        "noise": f"noise [N, {noise_width(model)}], uniform in [0, 1)",
        "z": f"z [T, N, L] = [{c.T}, N, {c.L}]{'' if c.latent.analog else ', of 0 and 1'}",
    }
    return f"{inputs[what]} -> images [N, {c.in_channels}, {c.image_size}, {c.image_size}] in [-1, 1]"
