"""Published weights: which files, where they are looked for, and what is checked."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from fsvae_tcja.runtime.checkpoint import read_state_dict

from ..provenance import file_sha256


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights. Its name ends in the first eight digits of its SHA-256."""

    network: str
    """The network that it is for."""
    url: str
    """Where it is published."""
    variable: str
    """Environment variable that may hold its path."""
    option: str
    """Name of the option of the program that may give its path."""

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]

    @property
    def digest(self) -> str:
        return self.name.rsplit("-", 1)[1].removesuffix(".pth")

    @property
    def cached(self) -> Path:
        """Where torch-fidelity, torchvision and a download put it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.name


def find_weights(weights: WeightsFile, path: str | Path | None = None, download: bool = False) -> tuple[Path, str]:
    """The file of weights and its SHA-256: `path`, else its environment variable, else torch's cache.

    Args:
        weights: what is published.
        path: a file, overrides the rest. If it is not the published one, a warning says so.
        download: fetch the file into torch's cache if it is nowhere.

    Raises:
        FileNotFoundError: nowhere; the message says which file, where from and where to put it.
        ValueError: truncated, altered, or no weights.
    """
    named = path or os.environ.get(weights.variable)
    file = Path(named).expanduser() if named else weights.cached
    if not file.is_file() and download and not named:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(weights.url, str(file), hash_prefix=weights.digest)
    if not file.is_file():
        option = f"--networks.{weights.option.replace('_', '-')}"
        raise FileNotFoundError(
            f"the weights of the {weights.network} network are not at {file.absolute()}. Fetch {weights.url} and put "
            f"it there, or give its path ({option}, ${weights.variable}), or allow the download "
            "(--networks.download). FAD and the domain scores work without it"
        )
    sha256 = file_sha256(file)
    if not sha256.startswith(weights.digest):
        if file.name == weights.name:
            raise ValueError(
                f"{file} is truncated or altered: its SHA-256 starts with {sha256[:8]}, expected {weights.digest}; "
                f"fetch it again from {weights.url}"
            )
        warnings.warn(not_published(file, weights), stacklevel=2)
    read_state_dict(file)  # torch-fidelity unpickles freely; this refuses what is more than tensors
    return file, sha256


def not_published(file: Path, weights: WeightsFile) -> str:
    """What is to be said of other weights."""
    return f"{file.name} is not the published {weights.name}: its scores cannot be compared with published ones"
