"""Named configurations."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class Preset(Generic[Config]):
    """A configuration and a sentence on it, for a table of presets by name."""

    config: Config
    """The configuration of the run."""
    about: str
    """One sentence: data, network, recipe."""
    gives: str = ""
    """What it gives: scores with protocol, n and seed, and who measured them; empty where nobody has."""
    group: str = ""
    """In the list of presets one line stands for all of a group, under this name, such as "esvae-DATA"."""
