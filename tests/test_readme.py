"""Every Python block of the READMEs runs as it stands; every command they name is there."""

import re
from pathlib import Path

import pytest

from fsvae_tcja.cli import COMMANDS

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


def test_commands():
    named = [c for _, block in blocks("sh") for c in re.findall(r"^fsvae-tcja (\S+)", block, re.MULTILINE)]
    assert named
    assert set(named) <= set(COMMANDS)


def test_pictures_and_links_are_there():
    for path in READMES:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.relative_to(ROOT)} points to {link}"
