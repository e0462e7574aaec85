"""A named configuration."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One entry of a table of training runs by name."""

    config: Any
    """The configuration of the run."""
    about: str
    """One sentence: data, network, recipe."""
    gives: str = ""
    """What it gives: scores with protocol, n and seed, and who measured them; empty where nobody has."""
