"""The generator as torch-fidelity's command line takes one: ONNX, uniform noise -> uint8 RGB."""

import shlex
from pathlib import Path

import torch
from torch import Tensor, nn

from ..vae import FSVAE
from .generator import noise_width
from .onnx import write_onnx


class Pixels(nn.Module):
    """Images [N, 1 or 3, H, W] of a network in [-1, 1] as uint8 [N, 3, H, W], rounded as PNG files are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noise: Tensor) -> Tensor:
        images = self.network(noise)
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return pixels.expand(-1, 3, -1, -1)


def export_fidelity(model: FSVAE, path: str | Path) -> str:
    """Write the generator, whole or not at all; returns the command that scores it.

    Raises:
        ValueError: another suffix, or images of 2 channels.
        ModuleNotFoundError: the extra `onnx` is not installed.
    """
    if model.config.in_channels == 2:
        raise ValueError("torch-fidelity scores grey and colour images, this model draws events of 2 channels")
    write_onnx(model, path, "noise", Pixels)
    options = {"z-type": "uniform_0_1", "z-size": noise_width(model), "num-classes": 0, "num-samples": 5000}
    given = " ".join(f"--input1-model-{name} {value}" for name, value in options.items())
    return f"score it with: fidelity --fid --input1 {shlex.quote(str(path))} {given} --input2 FOLDER"
