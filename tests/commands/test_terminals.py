"""Every command on a terminal that has ASCII alone, with a folder whose name is not UTF-8, and without a reader."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import classifiers.cli
import eval.cli
from fsvae_tcja.cli import PROGRAM as TABLE
from fsvae_tcja.cli import main

from .program import PROGRAM, TINY

GROUPS = {"classify": classifiers.cli.PROGRAM.commands, "eval": eval.cli.PROGRAM.commands}
EVERY = [
    *([name] for name in TABLE.commands if name not in GROUPS),
    *([group, name] for group, names in GROUPS.items() for name in names),
]
CLASSES = "caf\xe9", "\u03b1", "caf\udce9"  # the last is not UTF-8


@pytest.fixture
def folder(tmp_path):
    """A folder of images, whose name and classes are not ASCII."""
    top = tmp_path / "bild\xb1er\udcff"
    for i, name in enumerate(CLASSES):
        (top / name).mkdir(parents=True)
        for j in range(12):
            pixels = np.random.default_rng(12 * i + j).integers(0, 256, (32, 32), np.uint8)
            Image.fromarray(pixels).save(top / name / f"{j}.png")
    return top


@pytest.fixture
def ascii_only(monkeypatch):
    """Run a command on such a terminal; returns its status and what it wrote."""

    def run(*args):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        try:
            status = main([os.fspath(arg) for arg in args])
        except SystemExit as stop:  # the help
            status = stop.code
        for stream in streams:
            stream.flush()
        monkeypatch.undo()
        return status, *(stream.buffer.getvalue().decode("ascii") for stream in streams)

    return run


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_help_of_every_command(command, ascii_only):
    status, out, _ = ascii_only(*command, "--help")
    assert not status and "usage: " in out


def test_every_command_that_reads_a_run(run, folder, autoencoder, tmp_path, ascii_only):
    score = ["score", run, "--n-images", "30", "--networks.autoencoder", autoencoder, "--device", "cpu"]
    for args, said in (
        (["info", run], "steps"),
        (["doctor"], "torch"),
        (["sample", run, "--n", "2", "--out", folder / "s\xe9.png"], r"bild+-er\xff/s\xe9.png"),
        (["reconstruct", run, "--n", "2", "--data", folder, "--out", folder / "p.png"], r"bild+-er\xff/p.png"),
        ([*score, "--reference", "digits:test", "--out", folder / "a.json"], "| FAD"),
        (["eval", "compare", folder / "a.json", folder / "a.json"], "FAD"),
        (["eval", "protocols"], "strict"),
    ):
        status, out, err = ascii_only(*args)
        assert status == 0, (args, err)
        assert said in out, (args, out)
    assert json.loads((folder / "a.json").read_text())[0]["n"] == 30


def test_a_classifier_of_such_classes(folder, tmp_path, ascii_only):
    run = tmp_path / "l\xe4uft"
    layers = [
        "--model.layers",
        "4C MP2 FC3",
        "--model.T",
        "2",
        "--model.shape",
        "1",
        "32",
        "32",
        "--model.classes",
        "3",
    ]
    data = ["--data", folder, "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--out", run]
    for args, said in (
        (["train", "digits", *layers, *data], r"l\xe4uft/model.safetensors"),
        (["evaluate", run], r"caf\xe9"),
        (["predict", run, folder / CLASSES[2] / "1.png"], r"bild+-er\xff/caf\xe9/1.png: "),
    ):
        status, out, err = ascii_only("classify", *args)
        assert status == 0, (args, err)
        assert said in out, (args, out)


def test_a_run_in_a_folder_that_is_not_utf8_is_refused_at_once(tmp_path, ascii_only):
    run = tmp_path / "l\xe4uft\udcfe"
    status, _, err = ascii_only("train", "digits", *TINY, "--steps", "2", "--batch-size", "8", "--out", run)
    assert status == 2 and not run.exists()
    assert err.startswith("error: a run cannot be kept in ") and r"/l\xe4uft\xfe: the name is not UTF-8" in err


@pytest.mark.parametrize("args", [["train", "n" * 10_000], ["info", "n" * 10_000], ["sample", "/" + "n/" * 5_000]])
def test_messages_stay_short(fails, args):
    assert len(fails(*args)) < 1500


def test_a_reader_that_has_left_costs_no_result(run, tmp_path):
    """Also where Python does not collect what is written, as in many containers."""
    read, write = os.pipe()
    os.close(read)
    args = [*PROGRAM, "sample", str(run), "--n", "2", "--out", "s.npz"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    done = subprocess.run(args, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
    assert len(np.load(tmp_path / "s.npz")["images"]) == 2
