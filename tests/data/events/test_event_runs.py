"""Every event set from its own files through training, evaluation, prediction and resumption."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from classifiers import checkpoint
from classifiers.train import ClassifierTask
from fsvae_tcja.cli import main
from fsvae_tcja.data.events import EVENT_SETS, EventFrames
from tests.conftest import long
from tests.curves import undrawn
from tests.data.events.writers import write_synthetic

TRAIN = {"dvs128": 2, "cifar10dvs": 2, "ncaltech101": 1, "nmnist": 2, "synthetic-events": 4}  # recordings of a class
ONE = {  # a recording of the test split
    "dvs128": "user03_lab.aedat",
    "cifar10dvs": "truck/cifar10_truck_0.aedat",
    "ncaltech101": "class_007/image_0001.bin",
    "nmnist": "Test/3/00000.bin",
    "synthetic-events": "Test/up/00000.bin",
}


@pytest.fixture(autouse=True)
def reference(monkeypatch):
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    with undrawn():
        yield


def arguments(name, root, out, epochs=1):
    layers = f"AP->16 4C TCJA(2,2) MP2 FC{EVENT_SETS[name].classes} LIF"
    settings = ["--model.layers", layers, "--model.T", "3", "--batch-size", "8", "--epochs", str(epochs), "--lr", ".01"]
    return ["classify", "train", name, *settings, "--data-root", str(root), "--out", str(out)]


@pytest.mark.parametrize(
    "name", [name if name != "ncaltech101" else pytest.param(name, marks=long) for name in EVENT_SETS]
)
def test_an_event_set_is_trained_evaluated_and_predicted(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(EventFrames, "workers", 0)  # a few recordings are sooner read than a process is started
    folder = write_synthetic(name, tmp_path, train=TRAIN[name], test=1)
    run = tmp_path / "run"
    more = ["--batch-size", "32"] if name == "ncaltech101" else []
    assert main([*arguments(name, tmp_path, run), *more]) == 0
    assert f"test accuracy on {name}" in capsys.readouterr().out
    data = ["--data-root", str(tmp_path)]
    assert main(["classify", "evaluate", str(run), *data, "--n-looked-at", "8", "--batch-size", "8"]) == 0
    found = json.loads((run / "evaluation-test" / "evaluation.json").read_text())
    results = json.loads((run / "results.json").read_text())
    measured = results.get("best_validation", results["last"])
    assert found["n"] == results["n_test"] == EVENT_SETS[name].classes
    assert (found["accuracy"], found["silent_outputs"]) == (measured["test_accuracy"], measured["silent_outputs"])
    capsys.readouterr()
    assert main(["classify", "predict", str(run), str(folder / ONE[name]), "--top", "1"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.startswith(str(run)) and "classes with their firing rates in 0..1" in header
    assert len(lines) == (11 if name == "dvs128" else 1)  # a line for each gesture of its table
    for line in lines:
        said = re.fullmatch(r"(.*): (no output neuron fired|(.*) [01]\.\d{3})", line)
        assert ONE[name] in said[1] and (said[3] is None or said[3] in found["classes"])


def interrupt_at(monkeypatch, step):
    """SIGINT during a step, as Ctrl-C gives it."""
    losses, steps = ClassifierTask.losses, []

    def interrupted(self, *given):
        steps.append(1)
        if len(steps) == step:
            signal.raise_signal(signal.SIGINT)
        return losses(self, *given)

    monkeypatch.setattr(ClassifierTask, "losses", interrupted)


def rows(metrics):
    """The rows without the speed of the machine."""
    found = map(json.loads, metrics.read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in found]


def test_a_resumed_run_of_events_is_the_uninterrupted_one(tmp_path, monkeypatch):
    """With processes that load ahead, interrupted in the middle of an epoch; the other loads by itself."""
    write_synthetic("nmnist", tmp_path, train=4, test=1)
    whole, parts = (arguments("nmnist", tmp_path, tmp_path / name, epochs=2) for name in ("whole", "parts"))
    changes = ["--augment.roll", "2", "--augment.event-drop", ".2"]
    monkeypatch.setattr(EventFrames, "workers", 0)
    assert main([*whole, *changes]) == 0
    monkeypatch.setattr(EventFrames, "workers", 2)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        assert main([*parts, *changes]) == 130
    assert main(["classify", "train", "--resume", str(tmp_path / "parts"), "--data-root", str(tmp_path)]) == 0
    models = [checkpoint.load(tmp_path / name / "model.safetensors").state_dict() for name in ("whole", "parts")]
    assert all(torch.equal(a, b) for a, b in zip(models[0].values(), models[1].values(), strict=True))
    assert rows(tmp_path / "whole/metrics.jsonl") == rows(tmp_path / "parts/metrics.jsonl")


def test_a_signal_to_the_whole_group_stops_a_run_in_good_order(tmp_path):
    """As `timeout 20 fsvae-tcja ...` sends it: to the processes that load ahead too."""
    write_synthetic("nmnist", tmp_path, train=4, test=1)
    program = "import sys; from fsvae_tcja.data.events import EventFrames; EventFrames.workers = 2; "
    program += "from fsvae_tcja.cli import main; sys.exit(main(sys.argv[1:]))"
    given = arguments("nmnist", tmp_path, tmp_path / "run", epochs=1000)
    process = subprocess.Popen(
        [sys.executable, "-c", program, *given, "--log-every", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 60
        while not (metrics.exists() and metrics.read_text()) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 143 and "stopped after step" in out
    assert "Traceback" not in err and "killed by signal" not in err
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
