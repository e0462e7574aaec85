"""What is here: versions, devices, backends and why, data found."""

import importlib.metadata
import platform
from pathlib import Path

import torch

from .core import backend
from .data.image_sets import FILES, missing_files
from .data.load import ROOT_VARIABLE, data_root

PACKAGES = ("fsvae-tcja", "torch", "torchvision", "torch-fidelity", "numba", "triton", "tonic", "numpy", "scipy")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no"
    return {
        "cpu": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "cuda": cuda,
        "mps": "yes" if torch.backends.mps.is_available() else "no",
    }


def _data(root: Path) -> dict[str, str]:
    told = {f"data root (${ROOT_VARIABLE} or ./data)": str(root)}
    for name, files in FILES.items():
        absent = len(missing_files(name, root))
        told[name] = f"{absent} of {len(files)} files missing" if absent else "found"
    return told | _events(root)


def _events(root: Path) -> dict[str, str]:
    """Whether each event set is there, by its folders, lists and tables of labels; no recording is read."""
    from .data.events import EVENT_SETS
    from .data.events.synthetic import SYNTHETIC_SET

    told = {}
    for name, events in EVENT_SETS.items():
        try:
            events.find(name, root)
            told[name] = "found"
        except FileNotFoundError as error:
            told[name] = str(error).splitlines()[0].removeprefix(f"{name}: ")
        except ValueError as error:
            told[name] = f"damaged: {error}"
    if told[SYNTHETIC_SET].startswith("missing"):
        told[SYNTHETIC_SET] = "drawn on its first use"
    return told


def report(root: str | Path | None = None) -> str:
    """The whole report as text, a line for each fact."""
    sections = {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "devices": _devices(),
        "backends": backend.report(),
        "data": _data(data_root(root)),
    }
    lines = []
    for title, facts in sections.items():
        lines.append(title)
        lines += [f"  {name:40}{value}" for name, value in facts.items()]
    return "\n".join(lines)
