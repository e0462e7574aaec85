"""Every Python block of the READMEs runs as it stands; every command they name is there."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from classifiers.cli import PROGRAM as CLASSIFY
from classifiers.presets import PRESETS as CLASSIFIERS
from fsvae_tcja.cli import PROGRAM
from fsvae_tcja.vae.presets import PRESETS

ROOT = Path(__file__).parents[1]
READMES = sorted(path for path in ROOT.glob("**/README.md") if not {".venv", "runs"} & set(path.parts))


def blocks(language: str) -> list[tuple[Path, str]]:
    return [(p, b) for p in READMES for b in re.findall(rf"```{language}\n(.*?)```", p.read_text(), re.DOTALL)]


def test_there_is_something_to_paste():
    assert any(path == ROOT / "README.md" for path, _ in blocks("python"))


@pytest.mark.parametrize(
    ("path", "block"), blocks("python"), ids=lambda v: v.parent.name if isinstance(v, Path) else ""
)
def test_python_block(path, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(path), "exec"), {})


def commands() -> list[list[str]]:
    lines = [line for _, block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fsvae-tcja ")]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_command(command, capsys):
    """Every option of every command is one that its --help lists."""
    words = {*PROGRAM.commands, *CLASSIFY.commands, *PRESETS, *CLASSIFIERS}
    rest = [word for word in command[1:] if word in words][:2]
    if "--resume" in command:
        rest = [*rest, "digits"]
    with suppress(SystemExit):
        PROGRAM.run([command[0], *rest, "--help"])
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    options = {word for word in command if word.startswith("--")}
    assert options <= known, options - known


def test_no_placeholder_is_left():
    for path in [*READMES, *(ROOT / "docs").glob("*.md")]:
        assert not re.search(r"^[A-Z]+_[A-Z]+$|: [A-Z]+_[A-Z]+$", path.read_text(), re.MULTILINE), path


def test_pictures_and_links_are_there():
    for path in READMES:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.relative_to(ROOT)} points to {link}"
