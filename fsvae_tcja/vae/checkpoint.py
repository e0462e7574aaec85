"""Saving and loading a trained FSVAE: weights and configuration in one safetensors file."""

from pathlib import Path
from typing import Any

import torch

from ..runtime import checkpoint
from ..runtime.rebuild import check_rebuilds
from ..utils.configuration import from_dict, to_dict
from .config import FSVAEConfig
from .model import FSVAE
from .upgrade import upgrade_model

KIND = "fsvae"


def save(model: FSVAE, path: str | Path) -> None:
    """Write weights and configuration to `path` (.safetensors), whole or not at all.

    Raises:
        ValueError: the model holds a part that its configuration does not build, and that would be lost.
    """
    check_rebuildable(model)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint.write(path, tensors, {"kind": KIND, "config": to_dict(model.config)})


def check_rebuildable(model: FSVAE) -> None:
    """Raise a ValueError unless the configuration of the model builds the same one again."""
    check_rebuilds(model, lambda: FSVAE(model.config))


def load(path: str | Path, device: str | torch.device = "cpu") -> FSVAE:
    """The model of a checkpoint or run folder, in eval mode, built from the configuration inside.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, pickled, of another kind, or its tensors do not fit its configuration.
    """
    return checkpoint.load_model(checkpoint.find(path), KIND, _build, device)


def _build(metadata: dict[str, Any]) -> FSVAE:
    config = upgrade_model(metadata["config"], metadata.get("training"))
    return FSVAE(from_dict(FSVAEConfig, config))
