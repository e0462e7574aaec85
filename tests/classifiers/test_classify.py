import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from classifiers.config import ClassifierConfig
from classifiers.events.recording import make_events
from classifiers.events.writers import write_aedat2, write_atis
from classifiers.files import read_inputs
from fsvae_tcja.cli import main

SMALL = ["--model.layers", "4C TCJA(2,2) MP2 6C MP2 FC20 LIF Vote2", "--model.T", "3", "--model.shape", "1", "10", "10"]


@pytest.fixture(autouse=True)
def reference(monkeypatch):
    """Tiny networks: compiling the kernels would take longer than all of their training."""
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of one epoch on digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        assert main(["classify", "train", "digits", *SMALL, "--epochs", "1", "--out", str(folder)]) == 0
    return folder


def test_a_run_folder_holds_all_that_is_promised(run):
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert files >= {
        "config.json",
        "metrics.jsonl",
        "results.json",
        "best.safetensors",
        "model.safetensors",
        "checkpoint.safetensors",
        "pictures/curves.png",
        "pictures/confusion.png",
    }
    assert json.loads((run / "results.json").read_text())["n_test"] == 297


def test_evaluate_writes_pictures_and_tells_everything(run, capsys, tmp_path):
    out = tmp_path / "report"
    assert main(["classify", "evaluate", str(run), "--out", str(out), "--n-looked-at", "20", "--batch-size", "8"]) == 0
    told = capsys.readouterr().out
    for part in ("digits test: accuracy", "n = 297", "firing over 24 inputs", "energy per inference", "4.6 pJ"):
        assert part in told
    assert {path.name for path in out.iterdir()} == {
        "evaluation.json",
        "confusion.png",
        "firing.png",
        "gates.png",
        "gates-first-input.png",
    }
    found = json.loads((out / "evaluation.json").read_text())
    assert sum(map(sum, found["confusion"])) == found["n"] == 297
    assert found["energy"]["snn_pj"] > 0 and len(found["firing"]["layers"]) == 3


def test_the_evaluation_is_that_of_the_run(run, tmp_path):
    out = tmp_path / "report"
    assert main(["classify", "evaluate", str(run), "--out", str(out)]) == 0
    accuracy = json.loads((out / "evaluation.json").read_text())["accuracy"]
    assert accuracy == json.loads((run / "results.json").read_text())["best_validation"]["test_accuracy"]


def test_without_attention_there_is_no_gate_to_draw(tmp_path):
    run, out = str(tmp_path / "run"), tmp_path / "report"
    assert (
        main(["classify", "train", "digits", *SMALL, "--model.attention", "none", "--epochs", "1", "--out", run]) == 0
    )
    assert main(["classify", "evaluate", run, "--split", "valid", "--out", str(out)]) == 0
    assert not list(out.glob("gates*"))


def test_predict_names_classes_of_images(run, capsys, tmp_path):
    Image.new("L", (10, 10)).save(tmp_path / "black.png")
    assert main(["classify", "predict", str(run), str(tmp_path / "black.png"), "--top", "2"]) == 0
    path, _, classes = capsys.readouterr().out.strip().partition(": ")
    assert path == str(tmp_path / "black.png")
    names = [text.split()[0] for text in classes.split(", ")]
    assert len(names) == 2 and set(names) <= set("0123456789")


def test_info_reads_a_classifier(run, capsys):
    assert main(["info", str(run)]) == 0
    story = json.loads(capsys.readouterr().out)
    assert story["kind"] == "classifier" and story["config"]["T"] == 3


def test_a_dry_run_prints_the_configuration(capsys):
    assert main(["classify", "train", "dvs128", "--model.T", "16", "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["configuration"]["model"]["T"] == 16 and told["run"]["out"] == "runs/classify/dvs128"


def test_resume_goes_on_with_its_own_configuration(run, capsys):
    assert main(["classify", "train", "--resume", str(run), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"]["model"]["T"] == 3
    assert main(["classify", "train", "--resume", str(run)]) == 0  # nothing left to do


@pytest.mark.parametrize("args", [[], ["--help"], ["train"], ["train", "--help"]])
def test_help_names_commands_and_presets(args, capsys):
    assert main(["classify", *args]) == 0
    told = capsys.readouterr().out
    assert "usage: fsvae-tcja classify" in told
    assert ("ncaltech101" if "train" in args else "predict") in told


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["guess"], r"unknown command 'guess': choose one of \['train', 'evaluate', 'predict'\]"),
        (["train", "nope"], "unknown preset 'nope'"),
        (["train", "--epochs", "3"], "put a preset before --epochs"),
        (
            ["train", "digits", "--model.classes", "11"],
            "the model has 11 classes, digits 10; set --model.classes",
        ),
        (["train", "digits", "--data", "mnist", "--data-root", "nowhere"], "mnist: missing"),
        (["train", "dvs128", "--data-root", "nowhere"], "dvs128: missing"),
        (["train", "digits", "--validation", "1.5"], "validation must be in"),
        (["evaluate", "nowhere.safetensors"], "no checkpoint at nowhere.safetensors"),
    ],
)
def test_errors_are_one_line_and_status_2(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["classify", *args])
    except SystemExit as stopped:  # a value that tyro refuses
        status = stopped.code
    assert status == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_the_vae_is_not_resumed(tmp_path, capsys):
    from fsvae_tcja.runtime import checkpoint

    checkpoint.write(tmp_path / "checkpoint.safetensors", {}, {"kind": "fsvae", "training": {}})
    assert main(["classify", "train", "--resume", str(tmp_path)]) == 2
    assert "is a run of a 'fsvae', fsvae-tcja classify train resumes 'classifier'" in capsys.readouterr().err


# Single files

EVENTS = ClassifierConfig("AP2 FC3", T=2, shape=(2, 6, 5), classes=3)


def events(n=20, width=5, height=6):
    generator = torch.Generator().manual_seed(0)
    x, y, p = (torch.randint(0, end, (n,), generator=generator).numpy() for end in (width, height, 2))
    return make_events(x, y, torch.arange(n).numpy() * 10, p)


def test_recordings_are_read_by_what_they_are(tmp_path):

    write_atis(tmp_path / "a.bin", events())
    [(name, x)] = read_inputs(tmp_path / "a.bin", EVENTS)
    assert name.endswith("a.bin") and x.shape == (2, 1, 2, 6, 5) and x.sum() == 20
    write_aedat2(tmp_path / "b.aedat", events(width=128, height=128))
    [(_, x)] = read_inputs(tmp_path / "b.aedat", replace(EVENTS, shape=(2, 128, 128)))
    assert x.sum() == 20


@pytest.mark.parametrize(
    ("name", "content", "channels", "message"),
    [
        ("a.bin", b"1234567", 2, "is truncated: 7 bytes"),
        ("a.bin", b"\x00" * 5, 2, "a.bin: 1 events are too few for 2 frames"),
        ("a.aedat", b"#!AER-DAT1.0\r\n", 2, "is no recording that is known: expected .bin"),
        ("a.txt", b"hello", 2, "is no recording that is known"),
        ("a.txt", b"hello", 1, r"is no image \(.*\), and the model takes images"),
        ("a.png", b"hello", 2, "is an image, the model takes events"),
        ("a.png", b"hello", 1, "a.png"),
    ],
)
def test_files_that_cannot_be_inputs_are_refused(tmp_path, name, content, channels, message):

    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_inputs(tmp_path / name, replace(EVENTS, shape=(channels, 6, 6))))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file at"):
        list(read_inputs(tmp_path / "nowhere.bin", EVENTS))
