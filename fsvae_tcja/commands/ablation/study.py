"""The file of a study, and the training runs that it asks for."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...utils.foreign import reading
from ...utils.spelling import did_you_mean
from ...vae.train import TrainConfig
from ..train import TRAIN, TrainOptions

KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {  # of the keys of a study, and how an error calls them
    "title": (str, "text"),
    "preset": (str, "the name of a preset"),
    "seeds": (list, "a list of whole numbers"),
    "steps": (int, "a whole number"),
    "seconds": ((int, float), "a number"),
    "n": (int, "a whole number"),
    "autoencoder": (str, "a file"),
    "classifier": (str, "a file"),
    "options": (dict, "a table"),
    "settings": (dict, "a table of tables"),
}


@dataclass(frozen=True)
class Study:
    """Settings by name, each trained with every seed on one budget."""

    title: str
    settings: Mapping[str, TrainConfig]
    """Without seed and length."""
    seeds: tuple[int, ...] = (0,)
    steps: int = 0
    """Budget: optimiser steps in all stages together; 0: it is in seconds."""
    seconds: float = 0
    """Budget: seconds of steps, in all stages together."""
    n: int = 1000
    """Images drawn, and reconstructed, for the scores."""
    autoencoder: Path | None = None
    """Network of the FAD; None: no FAD."""
    classifier: Path | None = None
    """Network of the domain scores; None: none of them."""

    def __post_init__(self) -> None:
        if not self.settings:
            raise ValueError("a study needs at least one setting: [settings.NAME]")
        if wrong := [name for name in self.settings if not re.fullmatch(r"\w[\w.+-]*", name)]:
            raise ValueError(f"a setting is a folder too: its name has letters, digits and . + - _, found {wrong[0]!r}")
        if (self.steps > 0) + (self.seconds > 0) != 1 or min(self.steps, self.seconds) < 0:
            raise ValueError(
                f"a study has one budget, steps or seconds, found steps = {self.steps}, seconds = {self.seconds}"
            )
        whole = all(isinstance(seed, int) and seed >= 0 for seed in self.seeds)
        if not (whole and len(set(self.seeds)) == len(self.seeds) > 0):
            raise ValueError(f"seeds must be different whole numbers >= 0, found {list(self.seeds)}")
        if self.n < 2:
            raise ValueError(f"n must be at least 2 images, found {self.n}")

    def jobs(self) -> list[tuple[str, int]]:
        """(setting, seed), seed by seed, so that a study that is stopped has compared all settings on some seeds."""
        return [(name, seed) for seed in self.seeds for name in self.settings]


def read_study(path: Path) -> Study:
    """The study in a .toml; files that it names are relative to it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no TOML, unknown keys, or a setting that `fsvae-tcja train` would refuse.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no study at {path}")
    with reading(path, "is no TOML", "mend it"):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    with reading(path, "is no study", "mend it"):
        return _study(data, path.parent)


def _study(data: dict[str, Any], folder: Path) -> Study:
    for key, value in data.items():
        if key not in KINDS:
            raise ValueError(f"unknown key {key!r}{did_you_mean(key, KINDS)}: known are {list(KINDS)}")
        kind, what = KINDS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{key} must be {what}, found {value!r}")
    start, options = data.pop("preset", None), data.pop("options", {})
    settings = {name: _config(name, start, options, own) for name, own in data.pop("settings", {}).items()}
    data |= {key: folder / Path(data[key]).expanduser() for key in ("autoencoder", "classifier") if key in data}
    return Study(**{"title": "", **data, "settings": settings, "seeds": tuple(data.get("seeds", (0,)))})


def _config(name: str, start: str | None, options: Mapping[str, Any], own: Any) -> TrainConfig:
    """What `fsvae-tcja train PRESET --OPTION VALUE ...` trains: the options of the study, then those of the setting."""
    if not isinstance(own, dict):
        raise ValueError(f"a setting is a table of options, found settings.{name} = {own!r}")
    chosen = {**options, **own}
    preset = chosen.pop("preset", start)
    if not isinstance(preset, str):
        raise ValueError(f"settings.{name} has no preset to start from; give one to it or to the study")
    for fixed in ("seed", "steps", "epochs"):
        if fixed in chosen:
            raise ValueError(f"settings.{name}: {fixed} is the study's to give, not an option of its settings")
    args = [word for option, value in chosen.items() for word in _words(option, value)]
    try:
        config, besides = TRAIN.parsed([preset, *args])
    except ValueError as error:
        raise ValueError(f"settings.{name}: {error}") from error
    untouched = vars(TrainOptions()) | {name: vars(besides)[name] for name in ("out", "size", "conditional")}
    if given := [key.replace("_", "-") for key, value in vars(besides).items() if value != untouched[key]]:
        raise ValueError(
            f"settings.{name}: {given[0]} says where and how a run goes, not what it trains; leave it away"
        )
    assert isinstance(config, TrainConfig)
    return replace(config, seed=0)


def _words(option: str, value: Any) -> list[str]:
    """An option as words of a command line."""
    if isinstance(value, bool):
        head, _, last = option.rpartition(".")
        return [f"--{head}.{'' if value else 'no-'}{last}" if head else f"--{'' if value else 'no-'}{last}"]
    values = value if isinstance(value, list) else [value]
    return [f"--{option}", *map(str, values)]
