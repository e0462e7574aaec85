"""Named configurations."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class Preset(Generic[Config]):
    """A configuration and a sentence on it, for a table of presets by name."""

    config: Config
    about: str
