"""Every Python block of the pages runs as it stands; every command they name is there."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from classifiers.presets import PRESETS as CLASSIFIERS
from fsvae_tcja.cli import PROGRAM
from fsvae_tcja.data import IMAGE_SETS
from fsvae_tcja.vae.presets import PRESETS

from .conftest import long

ROOT = Path(__file__).parents[1]
GROUPS = ("eval", "classify")  # commands of which a second word is one, too
READMES = sorted(
    path
    for path in ROOT.glob("**/README.md")
    if not re.search(r"(^|/)(\.|runs/|site/)", path.relative_to(ROOT).as_posix())  # ours: not of .venv or .pytest_cache
)

PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
SLOW = {ROOT / "docs" / "EXPORT.md"}  # the export to ONNX alone takes 15 s
ELSEWHERE = {ROOT / "docs" / "EXTENDING.md"}  # tests/test_extending.py runs its blocks


def blocks(language: str) -> list[tuple[Path, str]]:
    pages = [path for path in PAGES if path not in ELSEWHERE]
    return [(p, b) for p in pages for b in re.findall(rf"```{language}\n(.*?)```", p.read_text(), re.DOTALL)]


def to_run() -> list:
    """The Python blocks, slow ones for the long tests."""
    found = blocks("python")
    return [pytest.param(path, block, marks=[long] if path in SLOW else []) for path, block in found]


def test_there_is_something_to_paste():
    assert any(path == ROOT / "README.md" for path, _ in blocks("python"))


@pytest.mark.parametrize(
    ("path", "block"), to_run(), ids=lambda v: f"{v.parent.name}/{v.stem}" if isinstance(v, Path) else ""
)
def test_python_block(path, block, tmp_path, monkeypatch):
    """What it adds to the table of data sets is taken out again."""
    monkeypatch.chdir(tmp_path)
    before = set(IMAGE_SETS)
    exec(compile(block, str(path), "exec"), {})
    for name in set(IMAGE_SETS) - before:
        del IMAGE_SETS[name]


def commands() -> list[list[str]]:
    """All lines of the pages that start with the program, with what continues them."""
    texts = [path.read_text().replace("\\\n", " ") for path in PAGES]
    lines = [line for text in texts for line in re.findall(r"^fsvae-tcja .*", text, re.MULTILINE)]
    return [shlex.split(line, comments=True)[1:] for line in dict.fromkeys(lines)]


def help_of(command: list[str]) -> list[str]:
    """The arguments that show the options of a command: training shows them with a preset."""
    words = command[: 2 if command[0] in GROUPS else 1]
    if words[-1] == "train":
        words.append(next((word for word in command if word in {*PRESETS, *CLASSIFIERS}), "digits"))
    return [*words, "--help"]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_command(command, capsys):
    """Every command is there, and every option one that its --help lists."""
    with suppress(SystemExit):
        PROGRAM.run(help_of(command))
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    options = {word for word in command if word.startswith("--")}
    assert options <= known, options - known


def test_every_preset_is_in_the_table():
    lines = (ROOT / "README.md").read_text().partition("| preset |")[2].splitlines()[2:]
    cells = [line.split("|")[1] for line in lines[: lines.index("")]]
    named = re.findall("`(.*?)`", " ".join(cells))
    assert sorted(named) == sorted({preset.group or name for name, preset in PRESETS.items()})


def test_no_placeholder_is_left():
    """@NAME@, in no page and no source."""
    sources = [path for package in ("fsvae_tcja", "classifiers", "eval") for path in (ROOT / package).rglob("*.py")]
    for path in [*PAGES, *sources]:
        assert not re.search(r"@[A-Z]+@", path.read_text()), path
