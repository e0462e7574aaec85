"""What is here: versions, devices, backends and why, data found."""

import importlib.metadata
import platform
from pathlib import Path

import torch

from .core import backend
from .runtime.data import ROOT_VARIABLE, data_root

PACKAGES = ("fsvae-tcja", "torch", "torchvision", "torch-fidelity", "numba", "triton", "numpy", "scipy")
FOLDERS = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "celeba": "celeba",
}


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
    found = {name: "found" if (root / folder).is_dir() else "not there" for name, folder in FOLDERS.items()}
    return {f"data root (${ROOT_VARIABLE} or ./data)": str(root), "digits": "found, part of scikit-learn"} | found


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
