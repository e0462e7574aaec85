"""fsvae-tcja doctor: versions, devices, backends and why, data found."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from ..core import backend
from ..data.events import EVENT_SETS
from ..data.events.synthetic import SYNTHETIC_SET
from ..data.image_sets import FILES, missing_files
from ..data.load import ROOT_VARIABLE, data_root
from ..utils.options import DataRoot, parse
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
            "data": _data(data_root(root)),
        }
    )


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
    found = {f"data root (${ROOT_VARIABLE} or ./data)": str(root)}
    for name, files in FILES.items():
        absent = len(missing_files(name, root))
        found[name] = f"{absent} of {len(files)} files missing" if absent else "found"
    return found | _events(root)


def _events(root: Path) -> dict[str, str]:
    """Whether each event set is there, by its folders, lists and tables of labels; no recording is read."""
    found = {}
    for name, events in EVENT_SETS.items():
        try:
            events.find(name, root)
            found[name] = "found"
        except FileNotFoundError as error:
            found[name] = str(error).splitlines()[0].removeprefix(f"{name}: ")
        except ValueError as error:
            found[name] = f"damaged: {error}"
    if found[SYNTHETIC_SET].startswith("missing"):
        found[SYNTHETIC_SET] = "drawn on its first use"
    return found
