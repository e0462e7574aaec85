"""Build the wheel, install it into an environment of its own, and use it outside the checkout: `make wheel-test`.

The environment borrows the dependencies of the Python that runs this; the packages themselves come from the wheel.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("fsvae_tcja", "classifiers", "eval")
TRAIN = "train digits --epochs 1 --batch-size 750 --model.T 2 --model.channels 2 3 4 5 --device cpu --out run"
PROGRAM = """
import fsvae_tcja, classifiers, eval
from classifiers import SpikingClassifier
from eval import evaluate
for package in (fsvae_tcja, classifiers, eval):
    assert package.__file__.startswith({folder!r}), package.__file__
assert fsvae_tcja.load("run").config.T == 2
SpikingClassifier()
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from a copy of the checkout: what an older build left there would come along."""
    copy = folder / "source"
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, copy, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Every module of the packages, their py.typed, the licence; nothing else."""
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(CHECKOUT)) for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")}
    assert sources == {name for name in names if name.endswith(".py")}
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    foreign = {name.split("/")[0] for name in names} - {*PACKAGES}
    assert all(name.endswith(".dist-info") for name in foreign), foreign


def install(wheel: Path, folder: Path) -> Path:
    """The bin folder of a new environment that holds the wheel."""
    venv.create(folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files do not run
    return folder / "bin"


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        wheel = build(folder)
        check_contents(wheel)
        programs = install(wheel, folder / "environment")
        version = run(programs / "fsvae-tcja", "--version", cwd=folder)
        assert version.split()[1] == wheel.name.split("-")[1], (version, wheel.name)
        trained = run(programs / "fsvae-tcja", *TRAIN.split(), cwd=folder)
        assert trained.startswith("trained 2 steps"), trained
        run(programs / "python", "-c", PROGRAM.format(folder=str(folder)), cwd=folder)
    print(f"{wheel.name} installs, trains and imports")


if __name__ == "__main__":
    main()
