"""Imports run one way, and importing the package needs nothing but torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("fsvae_tcja", "classifiers", "eval")
ALLOWED = {  # folder: what of ours it may import besides itself
    "fsvae_tcja/utils": (),
    "fsvae_tcja/core": ("fsvae_tcja.utils",),
    "fsvae_tcja/data": ("fsvae_tcja.utils",),
    "fsvae_tcja/runtime": ("fsvae_tcja.utils", "fsvae_tcja.core", "fsvae_tcja.data"),
    "fsvae_tcja/vae": ("fsvae_tcja.utils", "fsvae_tcja.core", "fsvae_tcja.data", "fsvae_tcja.runtime"),
    "classifiers": ("fsvae_tcja.utils", "fsvae_tcja.core", "fsvae_tcja.data", "fsvae_tcja.runtime"),
    "eval": ("fsvae_tcja.utils", "fsvae_tcja.data", "fsvae_tcja.runtime"),
}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def imported(source: str, package: str) -> set[str]:
    """Absolute names of all that a module of `package` imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def forbidden(source: str, package: str, allowed: tuple[str, ...]) -> set[str]:
    ours = {name for name in imported(source, package) if name.split(".")[0] in OURS}
    return {name for name in ours if not any(within(name, one) for one in allowed)}


@pytest.mark.parametrize("folder", [folder for folder in ALLOWED if (ROOT / folder).is_dir()])
def test_imports_run_one_way(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    allowed = (folder.replace("/", "."), *ALLOWED[folder])
    wrong = {}
    for file in files:
        package = ".".join(file.relative_to(ROOT).parent.parts)
        if found := forbidden(file.read_text(), package, allowed):
            wrong[str(file.relative_to(ROOT))] = found
    assert not wrong


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import fsvae_tcja.vae.model", "fsvae_tcja.vae.model"),
        ("from fsvae_tcja import FSVAE", "fsvae_tcja.FSVAE"),
        ("from fsvae_tcja.vae import load", "fsvae_tcja.vae.load"),
        ("from ..vae.model import FSVAE", "fsvae_tcja.vae.model.FSVAE"),
        ("from .. import vae", "fsvae_tcja.vae"),
        ("def f():\n    from eval import fad", "eval.fad"),
    ],
)
def test_every_form_of_import_is_seen(statement, name):
    assert forbidden(statement, "fsvae_tcja.runtime", ("fsvae_tcja.runtime", "fsvae_tcja.core")) == {name}


def test_a_package_may_import_itself():
    source = "from .atomic import replacing\nfrom . import seeding\nfrom ..core import lif\nimport json, evaluate"
    assert not forbidden(source, "fsvae_tcja.runtime", ("fsvae_tcja.runtime", "fsvae_tcja.core"))


def python(program: str) -> str:
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT), "HOME": str(Path.home())}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_neither_kernels_nor_programs():
    heavy = "('triton', 'numba', 'matplotlib', 'sklearn', 'tensorboard', 'torchvision', 'tyro')"
    assert python(f"import sys, fsvae_tcja; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_scoring_loads_neither_torch_fidelity_nor_torchvision():
    heavy = "('triton', 'numba', 'matplotlib', 'sklearn', 'tensorboard', 'torchvision', 'torch_fidelity')"
    assert python(f"import sys, eval.cli; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_model_runs_without_triton_numba_cuda_and_network():
    program = """
import socket, sys
sys.modules["triton"] = sys.modules["numba"] = None  # importing them raises ImportError
def refuse(*args): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
import torch
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig
model = FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5)))
model(torch.zeros(2, 1, 32, 32)).recon.sum().backward()
print(tuple(model.sample(2).shape))
"""
    assert python(program).strip() == "(2, 1, 32, 32)"
