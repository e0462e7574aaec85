"""Saving and loading a trained FSVAE: weights and configuration in one safetensors file."""

from pathlib import Path
from typing import Any

import torch

from ..runtime import checkpoint
from ..runtime.rebuild import check_rebuilds
from ..utils.configuration import from_dict, to_dict
from .config import FSVAEConfig
from .model import FSVAE
from .pretrained import compact, drawing_config
from .upgrade import upgrade_model

KIND = "fsvae"


def save(model: FSVAE, path: str | Path, *, half: bool = False, **metadata: Any) -> None:
    """Write weights and configuration to `path` (.safetensors), whole or not at all.

    Args:
        model: what to save.
        path: of the file.
        half: in half precision, without what only training needs: some 40% of the bytes.
        metadata: what else is to stand in the file, such as data="mnist".

    Raises:
        ValueError: the model holds a part that its configuration does not build, and that would be lost.
    """
    check_rebuildable(model)
    if half:
        model = for_drawing(model)
    tensors = compact(model) if half else model.state_dict()
    named = {f"model.{name}": tensor for name, tensor in tensors.items()}
    checkpoint.write(path, named, {"kind": KIND, "config": to_dict(model.config)} | model.remembered | metadata)


def for_drawing(model: FSVAE) -> FSVAE:
    """The same model without what only training needs."""
    with torch.random.fork_rng(devices=()):
        copy = FSVAE(drawing_config(model.config))
    state = model.state_dict()
    copy.load_state_dict({name: state[name] for name in copy.state_dict()})
    copy.remember(model.remembered)
    return copy.train(model.training)


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
    model = FSVAE(from_dict(FSVAEConfig, config))
    model.remember(metadata)
    return model
