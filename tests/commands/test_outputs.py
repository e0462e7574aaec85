"""One rule for what lies where a command is to write: pictures and pages are replaced, anything else stays."""

import shlex
from pathlib import Path

import pytest

from classifiers.cli import PROGRAM as CLASSIFY
from eval.cli import PROGRAM as EVAL
from fsvae_tcja import Escape, FSVAEConfig, save
from fsvae_tcja.cli import PROGRAM, main
from fsvae_tcja.utils.outputs import check_out

from ..vae.conftest import awake

REPLACED = {  # a command: what it replaces
    "sample MODEL --n 1 --out a.png": "a.png",
    "sample MODEL --n 1": "samples.png",
    "reconstruct MODEL --data digits --n 1 --out a.png": "a.png",
    "interpolate MODEL --n 1 --steps 2 --out a.png": "a.png",
    "complete MODEL --data digits --n 1 --draws 1 --out a.png": "a.png",
    "report RUN --out a.html": "a.html",
}
KEPT = {  # a command: what it refuses to replace, before it opens what it is given
    "sample m --out a.npz": "a.npz",
    "sample m --out A.NPZ": "A.NPZ",
    "export m --out a.pth": "a.pth",
    "export m --format nir": "fsvae.nir",
    "export m --format onnx --out a.onnx": "a.onnx",
    "import theirs.pth": "theirs.safetensors",
    "import theirs.npz --out a.safetensors": "a.safetensors",
    "score m --out a.json": "a.json",
    "eval reference digits --out statistics": "statistics/strict-FAD.safetensors",
    "eval train-fad digits --out a.safetensors": "a.safetensors",
    "eval train-classifier digits --out a.safetensors": "a.safetensors",
}
ELSEWHERE = {  # a folder with rules of its own: the test of these
    "train": "test_train.py",
    "publish": "test_publish.py",
    "ablate": "test_ablate.py",
    "classify train": "tests/classifiers/test_classify.py",
    "classify evaluate": "tests/classifiers/test_classify.py",
}


@pytest.mark.parametrize("command", REPLACED)
def test_a_picture_or_page_is_replaced_and_that_is_said(command, run, capsys):
    model = awake(FSVAEConfig(T=2, L=4, latent=Escape(groups=2, hidden=8), channels=(2, 3, 4, 5)))
    save(model, "model.safetensors")
    old = Path(REPLACED[command])
    old.write_bytes(b"old")
    words = {"MODEL": "model.safetensors", "RUN": str(run)}
    assert main([words.get(word, word) for word in f"{command} --device cpu".split()]) == 0
    assert capsys.readouterr().err.count(f"{old} is there already and will be replaced\n") == 1
    assert old.read_bytes()[:4] in (b"\x89PNG", b"<!DO")


@pytest.mark.parametrize("command", KEPT)
def test_anything_else_stays(command, fails):
    old = Path(KEPT[command])
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"hours of work")
    assert fails(*shlex.split(command)) == f"error: {old} is there already; choose another --out, or delete it\n"
    assert old.read_bytes() == b"hours of work"


def test_a_new_name_is_no_matter(capsys, tmp_path):
    check_out(tmp_path / "new" / "a.npz", ".npz")
    check_out(tmp_path / "a.png", ".png")
    assert capsys.readouterr().err == "" and not list(tmp_path.iterdir())


def test_every_command_with_an_out_is_here(capsys):
    names = [name for name in PROGRAM.commands if name not in ("eval", "classify")]
    names += [f"eval {name}" for name in EVAL.commands] + [f"classify {name}" for name in CLASSIFY.commands]
    tested = {name for name in names for line in (*REPLACED, *KEPT) if f"{line} ".startswith(f"{name} ")}
    for name in set(names) - tested - ELSEWHERE.keys() - {"eval score"}:  # which is `score`
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        assert "--out" not in capsys.readouterr().out, f"{name} is in none of the tables"
