"""The generator as a program of torch.export, a .pt2: any PyTorch runs it, without this package.

torch.export.load("fsvae.pt2").module()(torch.rand(16, 256))
"""

from pathlib import Path

import torch

from ..utils.atomic import replacing
from ..vae import FSVAE
from .generator import described, program

SUFFIX = ".pt2"


def export_torch(model: FSVAE, path: str | Path, what: str = "noise") -> str:
    """Write the generator, whole or not at all; returns what goes into it and what comes out.

    Args:
        model: it is left as it was.
        path: the file, a .pt2.
        what: "noise" or "z".

    Raises:
        ValueError: another suffix, or an unknown `what`.
    """
    with replacing(path, SUFFIX) as temporary, temporary.open("wb") as file:
        torch.export.save(program(model, what), file)
    return described(model, what)
