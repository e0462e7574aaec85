"""The samples say what they do, and do nothing else when they are asked for it."""

import runpy
from pathlib import Path

import pytest

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("[!_]*.py"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_help(sample, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(sample.parent))  # as `python samples/NAME.py` has it
    monkeypatch.setattr("sys.argv", [str(sample), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(sample), run_name="__main__")
    assert stop.value.code == 0
    assert f"python samples/{sample.name} [OUT]" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
