"""A network for images of another shape or number of classes than those that its configuration was made for."""

import re
from dataclasses import replace

from .config import ClassifierConfig

LAST = re.compile(r"FC(\d+)(?!.*FC)")


def fitted(config: ClassifierConfig, channels: int, classes: int) -> ClassifierConfig:
    """The configuration for so many channels and classes: its last FC layer keeps its neurons for each class.

    Args:
        config: the network to start from.
        channels: of the images, whose height and width stay those of the configuration.
        classes: how many.
    """

    def widened(last: re.Match[str]) -> str:
        each, rest = divmod(int(last[1]), config.classes)
        return last[0] if rest else f"FC{each * classes}"

    layers = LAST.sub(widened, config.layers)
    return replace(config, layers=layers, shape=(channels, *config.shape[1:]), classes=classes)
