"""What version 0.1.0 wrote, in today's form."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

OF_THE_LATENT = ("k", "sampling", "distance", "scheduled_sampling")


def upgrade_model(config: Mapping[str, Any], training: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """FSVAEConfig as plain data. `latent` was L, and the settings of the latent stood next to it or in the training's.

    Args:
        config: of any version.
        training: TrainConfig as plain data, of the same version.
    """
    config = dict(config)
    if isinstance(config.get("latent"), int):
        found = {**(training or {}), **config}
        latent = {name: found[name] for name in OF_THE_LATENT if name in found}
        config = {name: value for name, value in config.items() if name not in OF_THE_LATENT}
        config |= {"L": config["latent"], "latent": {"type": "Bernoulli", **latent}}
    return config


def upgrade_training(config: Mapping[str, Any]) -> dict[str, Any]:
    """TrainConfig as plain data."""
    if not isinstance(config.get("model", {}).get("latent"), int):
        return dict(config)
    kept = {name: value for name, value in config.items() if name not in OF_THE_LATENT}
    return kept | {"model": upgrade_model(config["model"], config)}


def upgrade_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an FSVAE by name. The networks of the latent stood in the model itself."""
    return {f"latent.{name}" if name.startswith(("prior.", "posterior.")) else name: t for name, t in tensors.items()}
