"""Saving and loading a trained FSVAE: weights and configuration in one safetensors file."""

from pathlib import Path

import torch

from ..runtime import checkpoint
from ..utils.configuration import from_dict, to_dict
from .config import FSVAEConfig
from .model import FSVAE

KIND = "fsvae"


def save(model: FSVAE, path: str | Path) -> None:
    """Write weights and configuration to `path` (.safetensors), whole or not at all."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint.write(path, tensors, {"kind": KIND, "config": to_dict(model.config)})


def load(path: str | Path, device: str | torch.device = "cpu") -> FSVAE:
    """The model of a checkpoint or run folder, in eval mode, built from the configuration inside.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, pickled, of another kind, or its tensors do not fit its configuration.
    """
    path = checkpoint.find(path)
    return checkpoint.load_model(path, KIND, lambda config: FSVAE(from_dict(FSVAEConfig, config)), device)
