"""What is here: versions, devices, backends and why, data found."""

import importlib.metadata
import platform
from pathlib import Path

import torch

from .core import backend
from .data import EVENT_SETS, IMAGE_SETS
from .data.image_sets import status
from .data.root import ROOT_VARIABLE, data_root

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
    told |= {name: status(name, root) for name in IMAGE_SETS}
    return told | {name: events.status(name, root) for name, events in EVENT_SETS.items()}


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
