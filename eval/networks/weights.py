"""Published weights: which files, where they are looked for, and what is checked."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fsvae_tcja.runtime.checkpoint import parse_state_dict


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights."""

    network: str
    """The network that it is for."""
    url: str
    """Where it is published."""
    sha256: str
    """Of the published file."""
    variable: str
    """Environment variable that may hold its path."""
    option: str
    """Name of the option of the program that may give its path."""

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]

    @property
    def argument(self) -> str:
        """The same as it is written."""
        return f"--networks.{self.option.replace('_', '-')}"

    @property
    def cached(self) -> Path:
        """Where torch-fidelity, torchvision and a download put it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.name

    @property
    def remedy(self) -> str:
        """What to do where it is nowhere."""
        return (
            f"Fetch {self.url} and put it there, or give its path ({self.argument}, ${self.variable}), or allow the "
            "download (--networks.download). FAD and the domain scores work without it"
        )

    def fetch(self) -> None:
        """Download it to where it is looked for."""
        self.cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(self.url, str(self.cached), hash_prefix=self.sha256)


class Weights(NamedTuple):
    """What a file of weights holds. The file is read once: what was checked is what is used."""

    file: Path
    sha256: str
    state: dict[str, Tensor]


def read_weights(weights: WeightsFile, path: str | Path | None = None, download: bool = False) -> Weights:
    """The weights in a file: `path`, else its environment variable, else torch's cache.

    Args:
        weights: what is published.
        path: a file, overrides the rest. If it is not the published one, a warning says so.
        download: fetch the file into torch's cache if it is nowhere.

    Raises:
        FileNotFoundError: nowhere; the message says which file, where from and where to put it.
        ModuleNotFoundError: a package that brings them is not installed.
        ValueError: truncated, altered, or no weights.
    """
    named = path or os.environ.get(weights.variable)
    file = Path(named).expanduser() if named else weights.cached
    if not file.is_file() and download and not named:
        weights.fetch()
    if not file.is_file():
        raise FileNotFoundError(
            f"the weights of the {weights.network} network are not at {file.absolute()}. {weights.remedy}"
        )
    data = file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != weights.sha256:
        if file.name == weights.name:
            raise ValueError(
                f"{file} is truncated or altered: its SHA-256 is {sha256}, expected {weights.sha256}; "
                f"fetch it again from {weights.url}"
            )
        warnings.warn(not_published(file, weights), stacklevel=2)
    return Weights(file, sha256, parse_state_dict(data, file))


def not_published(file: Path, weights: WeightsFile) -> str:
    """What is to be said of other weights."""
    return f"{file.name} is not the published {weights.name}: its scores cannot be compared with published ones"
