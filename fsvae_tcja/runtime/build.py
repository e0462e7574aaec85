"""Building the network of a run."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from ..core import SpikingLayer
from .config import TrainerConfig

Model = TypeVar("Model", bound=nn.Module)


def build(network: Callable[[], Model], config: TrainerConfig) -> Model:
    """A network whose first weights depend on the run's seed alone; its layers save memory if the run is to.

    The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)  # that of GPUs is not forked
        model = network()
    for layer in model.modules():
        if isinstance(layer, SpikingLayer):
            layer.checkpoint = config.save_memory
    return model
