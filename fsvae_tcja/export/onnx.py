"""The generator in ONNX: onnxruntime and others run it without PyTorch.

onnxruntime.InferenceSession("fsvae.onnx").run(None, {"noise": np.random.rand(16, 256).astype("float32")})
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..utils.atomic import replacing
from ..vae import FSVAE
from .generator import described, program

SUFFIX = ".onnx"


def export_onnx(model: FSVAE, path: str | Path, what: str = "noise") -> str:
    """Write the generator, whole or not at all; returns what goes into it and what comes out.

    A spike whose membrane lies within rounding of the threshold may fall the other way than in PyTorch.

    Args:
        model: it is left as it was.
        path: the file, a .onnx.
        what: "noise" or "z".

    Raises:
        ValueError: another suffix, or an unknown `what`.
        ModuleNotFoundError: the extra `onnx` is not installed.
    """
    write_onnx(model, path, what)
    return described(model, what)


def write_onnx(model: FSVAE, path: str | Path, what: str, wrap: Callable[[nn.Module], nn.Module] | None = None) -> None:
    """Write the generator, wrapped, as a graph with one input, which is called `what`, and one output, "images"."""
    import onnxscript  # noqa: F401  before the long work

    with replacing(path, SUFFIX) as temporary:
        exported = program(model, what, wrap)
        found = torch.onnx.export(exported, dynamo=True, verbose=False, input_names=[what], output_names=["images"])
        assert found is not None
        found.save(str(temporary))
