"""What a training says of its settings at the start: those that the device makes idle, or slow."""

from collections.abc import Iterator

import torch

from ..core.precision import emulated
from .config import TrainerConfig


def remarks(config: TrainerConfig, device: torch.device) -> Iterator[str]:
    """Sentences, none for most runs: one may begin on a GPU, or on a newer CPU, and go on elsewhere."""
    asked = [f"--{name}" for name in ("tf32", "graph") if getattr(config, name)]
    if asked and device.type != "cuda":
        yield f"{' and '.join(asked)} {'has' if len(asked) == 1 else 'have'} no effect on the device {device.type}"
    if config.precision != "fp32" and device.type == "cpu" and config.precision in emulated():
        yield (
            f"this CPU has no instructions for {config.precision} and takes several times as long with it as a new run "
            "without --precision would, in float32"
        )
