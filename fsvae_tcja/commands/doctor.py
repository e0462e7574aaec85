"""fsvae-tcja doctor: versions, devices, backends and why, pretrained models, data found."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from ..core import backend
from ..core.precision import emulated
from ..data import EVENT_SETS, IMAGE_SETS
from ..data.image_sets import status
from ..data.root import ROOT_VARIABLE, data_root
from ..runtime.pretrained import FOLDER, names
from ..utils.memory import gigabytes
from ..utils.options import DataRoot, parse
from ..utils.printable import shown
from ..utils.tables import facts

PACKAGES = ("fsvae-tcja", "torch", "torchvision", "torch-fidelity", "numba", "triton", "tonic", "numpy", "scipy")


@dataclass(frozen=True)
class DoctorOptions:
    """Print versions, devices, backends and why, and which data sets are there."""

    data_root: DataRoot = None


def main(args: list[str]) -> int:
    """Print what is here."""
    print(report(parse(DoctorOptions, "fsvae-tcja doctor", args).data_root))
    return 0


def report(root: str | Path | None = None) -> str:
    """The whole report as text, a line for each fact."""
    return facts(
        {
            "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
            "devices": _devices(),
            "backends": backend.report(),
            "pretrained models": {name: shown(FOLDER / name) for name in names()},
            "data": _data(data_root(root)),
        }
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    return {
        "cpu": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads{_slow_precisions()}",
        **_gpus(),
        "mps": "yes" if torch.backends.mps.is_available() else "no",
    }


def _slow_precisions() -> str:
    return f", slow with --precision {' and '.join(emulated())}: it lacks the instructions" if emulated() else ""


def _gpus() -> dict[str, str]:
    """Those that PyTorch finds; where there is none, what it was built for."""
    if not torch.cuda.is_available():
        cuda, rocm = torch.version.cuda, torch.version.hip
        built = f"CUDA {cuda}" if cuda else f"ROCm {rocm}" if rocm else "the CPU alone: pytorch.org has those for GPUs"
        return {"cuda": f"no (PyTorch is built for {built})"}
    gpus = enumerate(map(torch.cuda.get_device_properties, range(torch.cuda.device_count())))
    return {
        f"cuda:{i}": f"{gpu.name}, {gigabytes(gpu.total_memory)}, compute capability {gpu.major}.{gpu.minor}"
        for i, gpu in gpus
    }


def _data(root: Path) -> dict[str, str]:
    found = {f"data root (${ROOT_VARIABLE} or ./data)": shown(root)}
    found |= {name: shown(status(name, root)) for name in IMAGE_SETS}
    return found | {name: events.status(name, root) for name, events in EVENT_SETS.items()}
