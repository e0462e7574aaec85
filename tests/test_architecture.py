"""Imports run one way in every file, the roof included, and importing the packages needs nothing but Python."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fsvae_tcja", "classifiers", "eval")
OURS = (*PACKAGES, "samples", "tests")
CORE, DATA, RUNTIME, UTILS, VAE = (f"fsvae_tcja.{name}" for name in ("core", "data", "runtime", "utils", "vae"))
ALLOWED: dict[str, tuple[str, ...]] = {  # folder or file, the longest holds: what of ours it may import besides itself
    "fsvae_tcja/utils": ("fsvae_tcja.version",),
    "fsvae_tcja/core": (UTILS,),
    "fsvae_tcja/data": (UTILS,),
    "fsvae_tcja/runtime": (UTILS, CORE, DATA),
    "fsvae_tcja/vae": (UTILS, CORE, DATA, RUNTIME),
    "fsvae_tcja/export": (UTILS, CORE, VAE),
    "classifiers": (UTILS, CORE, DATA, RUNTIME),
    "eval": (UTILS, CORE, DATA, RUNTIME),
    "eval/checkpoints.py": (UTILS, DATA, RUNTIME, VAE),
    "fsvae_tcja/report": (UTILS, CORE, DATA, RUNTIME, VAE, "eval"),
    "fsvae_tcja/commands": (UTILS, CORE, DATA, RUNTIME, VAE, "fsvae_tcja.export", "fsvae_tcja.report", "eval"),
    "fsvae_tcja/commands/info.py": (UTILS, CORE, DATA, RUNTIME, VAE, "classifiers"),
    "fsvae_tcja/cli.py": (
        UTILS,
        "fsvae_tcja.commands",
        "fsvae_tcja.vae.presets",
        "eval.cli",
        "eval.commands.score",
        "classifiers.cli",
    ),
    "fsvae_tcja/__init__.py": (UTILS, CORE, DATA, RUNTIME, VAE, "fsvae_tcja.version"),
    "fsvae_tcja/__main__.py": ("fsvae_tcja.cli",),
    "fsvae_tcja/version.py": (),
}
PLACE = re.compile(rf"({'|'.join(OURS)})(\.\w+)*:\w+")  # "module:function", which fsvae_tcja.utils.program imports
LOOKING_UP = {  # the tables of these two count as imports here; the backends are tried by their own name
    "fsvae_tcja/utils/lazy.py",
    "fsvae_tcja/utils/program.py",
    "fsvae_tcja/core/backend.py",
}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def imported(source: str, package: str) -> set[str]:
    """Absolute names of all that a module of `package` imports, wherever the statement stands, or names as a place."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PLACE.fullmatch(node.value):
            found.add(node.value.replace(":", "."))
    return found


def forbidden(source: str, package: str, allowed: tuple[str, ...]) -> set[str]:
    ours = {name for name in imported(source, package) if name.split(".")[0] in OURS}
    return {name for name in ours if not any(within(name, one) for one in allowed)}


def sources() -> list[str]:
    """Every Python file of the packages, relative to the checkout."""
    return sorted(str(file.relative_to(ROOT)) for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def rule_of(file: str) -> str:
    """The longest entry of ALLOWED that holds for a file."""
    return max((rule for rule in ALLOWED if file == rule or file.startswith(f"{rule}/")), key=len)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package):
    """In every file: one without a rule is an error too."""
    wrong = {}
    for file in (file for file in sources() if file.startswith(f"{package}/")):
        rule = rule_of(file)
        itself = rule.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        own = () if rule.endswith("__init__.py") else (itself,)
        if rule == "eval/checkpoints.py":
            own = ("eval",)
        if found := forbidden((ROOT / file).read_text(), ".".join(Path(file).parent.parts), (*own, *ALLOWED[rule])):
            wrong[file] = found
    assert not wrong


def test_nothing_below_the_roof_looks_up_by_name():
    name = re.compile(r"\b(import_module|__import__|import_string|find_loader)\b")
    assert {file for file in sources() if name.search((ROOT / file).read_text())} <= LOOKING_UP


def test_places_are_imports():
    source = 'COMMANDS = {"score": Command("eval.commands.score:main", "about")}'
    assert forbidden(source, "fsvae_tcja.runtime", ("fsvae_tcja.runtime",)) == {"eval.commands.score.main"}


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import fsvae_tcja.vae.model", "fsvae_tcja.vae.model"),
        ("from fsvae_tcja import FSVAE", "fsvae_tcja.FSVAE"),
        ("from fsvae_tcja.vae import load", "fsvae_tcja.vae.load"),
        ("from ..vae.model import FSVAE", "fsvae_tcja.vae.model.FSVAE"),
        ("from .. import vae", "fsvae_tcja.vae"),
        ("def f():\n    from eval import evaluate", "eval.evaluate"),
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


HEAVY = ("triton", "numba", "matplotlib", "sklearn", "tensorboard", "torchvision", "tyro", "rich")


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_loads_no_torch(package):
    heavy = ("torch", "numpy", *HEAVY)
    assert python(f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def type_checked(package: str) -> Iterator[str]:
    """Names that a package imports for the type checker only."""
    for node in ast.parse((ROOT / package / "__init__.py").read_text()).body:
        if isinstance(node, ast.If):
            yield from (alias.name for statement in node.body for alias in statement.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_there_and_known_to_the_type_checker(package):
    module = import_module(package)
    assert sorted(type_checked(package)) == sorted(module.__all__) == dir(module)
    for name in module.__all__:
        value = getattr(module, name)
        assert getattr(value, "__doc__", None) or isinstance(value, str), name
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_the_model_loads_neither_kernels_nor_programs_and_runs_without_triton_numba_cuda_and_network():
    program = f"""
import socket, sys
def refuse(*args): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
import torch
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig
print([m for m in {HEAVY} if m in sys.modules])
sys.modules["triton"] = sys.modules["numba"] = None  # importing them raises ImportError
model = FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5)))
model(torch.zeros(2, 1, 32, 32)).recon.sum().backward()
print(tuple(model.sample(2).shape))
"""
    assert python(program).splitlines() == ["[]", "(2, 1, 32, 32)"]
