import json
import re
import signal
import struct
from dataclasses import replace

import pytest
import torch
from PIL import Image

from classifiers.accuracy import Evaluation, predict
from classifiers.checkpoint import save
from classifiers.config import ClassifierConfig
from classifiers.files import read_inputs
from classifiers.model import SpikingClassifier
from classifiers.report.write import silent_outputs
from classifiers.train import ClassifierTask
from fsvae_tcja.cli import main
from fsvae_tcja.data.events.formats import write_atis
from fsvae_tcja.data.events.recording import make_events
from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.runtime import curves
from fsvae_tcja.runtime.energy import FORMULA
from fsvae_tcja.utils.configuration import from_dict
from tests.data.events.writers import write_aedat2, write_synthetic

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


@pytest.mark.parametrize(
    ("silent", "said"),
    [(3, ["no output neuron fired for 3 of 4 inputs, which count as the first class"]), (0, []), (None, [])],
)
def test_silent_outputs_are_told_if_there_are_any(silent, said):
    assert silent_outputs(Evaluation(torch.tensor([[1, 0], [3, 0]]), silent)) == said


def test_evaluate_writes_pictures_and_tells_everything(run, capsys, tmp_path):
    out = tmp_path / "report"
    assert main(["classify", "evaluate", str(run), "--out", str(out), "--n-looked-at", "20", "--batch-size", "8"]) == 0
    told = capsys.readouterr().out
    epoch = json.loads((run / "results.json").read_text())["best_validation"]["epoch"]
    weights = f"epoch {epoch}, best by validation"
    for part in (
        "digits test: accuracy",
        f"n = 297, {weights}",
        "looked at: digits test, the first 20 of 297",
        "firing over 20 inputs",
        "energy per inference",
        "4.6 pJ",
    ):
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
    assert found["weights"] == weights
    totals = [sum(row) for row in found["confusion"]]
    assert found["per_class"] == pytest.approx([row[i] / totals[i] for i, row in enumerate(found["confusion"])])
    assert found["energy"]["of"] == found["firing"]["of"] == "test, the first 20 of 297"
    assert found["energy"]["snn_pj"] > 0 and len(found["firing"]["layers"]) == 3
    assert "\n".join(found["energy"]["notes"]) == FORMULA and FORMULA not in told


def test_the_evaluation_is_that_of_the_run(run, tmp_path, capsys):
    """And replaces the one before, which is said."""
    out = tmp_path / "report"
    out.mkdir()
    (out / "evaluation.json").write_text("{}")
    assert main(["classify", "evaluate", str(run), "--out", str(out)]) == 0
    assert f"{out} holds a report already, which will be replaced\n" in capsys.readouterr().err
    accuracy = json.loads((out / "evaluation.json").read_text())["accuracy"]
    assert accuracy == json.loads((run / "results.json").read_text())["best_validation"]["test_accuracy"]


def test_without_attention_there_is_no_gate_to_draw(tmp_path):
    run, out = str(tmp_path / "run"), tmp_path / "report"
    assert (
        main(["classify", "train", "digits", *SMALL, "--model.attention", "none", "--epochs", "1", "--out", run]) == 0
    )
    assert main(["classify", "evaluate", run, "--split", "valid", "--out", str(out)]) == 0
    assert not list(out.glob("gates*"))


def network(folder, layers, shape=(1, 10, 10), **metadata):
    """A checkpoint of a network that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SpikingClassifier(ClassifierConfig(layers, T=3, shape=shape)).eval()
    with torch.no_grad():
        model.layers[-1].layer.bias.copy_(torch.arange(10) % 3 / 4)
    save(model, folder / "net.safetensors", metadata)
    return model, str(folder / "net.safetensors")


def test_predict_names_classes_of_images(capsys, tmp_path):
    model, path = network(tmp_path, "4C MP2 FC10")
    pixels = torch.randint(256, (2, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image[0].numpy()).save(file)
    assert main(["classify", "predict", path, *files, "--top", "2"]) == 0
    values, best = predict(model, to_float(pixels)).topk(2)  # no two are equal
    expected = [f"{file}: {i[0]} {v[0]:.3f}, {i[1]} {v[1]:.3f}" for file, i, v in zip(files, best, values, strict=True)]
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f"{path} (weights of no training run): classes with their mean logits, the largest first"
    assert lines == expected


def test_predict_looks_for_all_files_before_it_answers(capsys, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert main(["classify", "predict", "absent", str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 2
    assert capsys.readouterr() == ("", f"error: there is no file {tmp_path / 'b.png'}\n")
    assert main(["classify", "predict", "mnist", str(tmp_path / "a.png")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == "error: no checkpoint at mnist: give a run folder or a .safetensors checkpoint\n"


def test_predict_says_what_it_does_to_an_image(capsys, caplog, tmp_path):
    _, path = network(tmp_path, "4C MP2 FC10")
    Image.new("RGBA", (20, 12)).save(tmp_path / "a.png")
    Image.new("L", (10, 10)).save(tmp_path / "b.png")
    assert main(["classify", "predict", path, str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 0
    assert [record.getMessage() for record in caplog.records if ".png" in record.getMessage()] == [
        f"{tmp_path / 'a.png'}: with an alpha channel or transparent colour, drawn on white, colours brought to grey "
        "levels, as the model takes them, from 20 x 12 to 10 x 10 pixels, PIL bilinear, the central square"
    ]


def test_predict_and_evaluate_agree_on_equal_outputs(capsys, tmp_path):
    model, path = network(tmp_path, "4C MP2 FC10")
    with torch.no_grad():
        model.layers[-1].layer.weight.zero_()
    save(model, path, {"data": "digits"})
    Image.new("L", (10, 10)).save(tmp_path / "black.png")
    assert main(["classify", "predict", path, str(tmp_path / "black.png"), "--top", "4"]) == 0
    assert capsys.readouterr().out.endswith("black.png: 2 0.500, 5 0.500, 8 0.500, 1 0.250\n")
    assert main(["classify", "evaluate", path, "--out", str(tmp_path / "out"), "--n-looked-at", "1"]) == 0
    confusion = torch.tensor(json.loads((tmp_path / "out" / "evaluation.json").read_text())["confusion"])
    assert confusion[:, 2].sum() == 297


def test_predict_says_that_nothing_fired(capsys, tmp_path):
    model = SpikingClassifier(ClassifierConfig("4C MP2 FC10 LIF", T=3, shape=(1, 10, 10)))
    with torch.no_grad():
        model.layers[-1].transform.weight.zero_()
    save(model, tmp_path / "silent.safetensors")
    Image.new("L", (10, 10)).save(tmp_path / "black.png")
    assert main(["classify", "predict", str(tmp_path / "silent.safetensors"), str(tmp_path / "black.png")]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.endswith("classes with their firing rates in 0..1, the largest first")
    assert line == f"{tmp_path / 'black.png'}: no output neuron fired"


def folder_of_images(folder, names="ab", n=20):
    for i in range(n):
        path = folder / names[i % len(names)] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 10), 12 * i).save(path)


TWO = [*SMALL[:1], "4C MP2 FC2", *SMALL[2:], "--model.classes", "2", "--batch-size", "4", "--lr", ".01"]


def test_a_folder_is_found_from_elsewhere(tmp_path, monkeypatch, capsys):
    folder_of_images(tmp_path / "here" / "photos")
    monkeypatch.chdir(tmp_path / "here")
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert (
            main(["classify", "train", "digits", *TWO, "--data", "photos", "--epochs", "2", "--out", str(run)]) == 130
        )
    monkeypatch.chdir(tmp_path)
    assert main(["classify", "train", "--resume", str(run)]) == 0
    assert main(["classify", "evaluate", str(run), "--n-looked-at", "1"]) == 0
    told = capsys.readouterr().out
    assert f"test accuracy on {tmp_path / 'here' / 'photos'} (n = 2" in told and "photos test: accuracy" in told


def interrupt(patch):
    losses = ClassifierTask.losses
    patch.setattr(ClassifierTask, "losses", lambda *given: (signal.raise_signal(signal.SIGINT), losses(*given))[1])


def test_a_class_without_inputs(tmp_path, capsys):
    """A test split that lacks one of the classes."""
    for part, names in (("train", "ab"), ("test", "a")):
        folder_of_images(tmp_path / "photos" / part, names)
    run = ["classify", "train", "digits", *TWO, "--data", str(tmp_path / "photos"), "--out", str(tmp_path / "run")]
    assert main([*run, "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main(["classify", "evaluate", str(tmp_path / "run"), "--n-looked-at", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["b", "0", "-"] in rows
    found = json.loads((tmp_path / "run" / "evaluation-test" / "evaluation.json").read_text())
    assert found["per_class"][1] is None and found["per_class"][0] == found["accuracy"]


def test_weights_that_are_not_finite_are_not_evaluated(tmp_path, capsys):
    """They fire nowhere, and would be reported as an accuracy."""
    model = SpikingClassifier(ClassifierConfig("4C MP2 FC10", T=2, shape=(1, 10, 10)))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = torch.nan
    save(model, tmp_path / "bad.safetensors", {"data": "digits"})
    assert main(["classify", "evaluate", str(tmp_path / "bad.safetensors"), "--out", str(tmp_path / "out")]) == 2
    assert re.search(r"bad\.safetensors holds weights that are not finite, \S+ and 0 more", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_other_classes_are_not_evaluated(tmp_path, capsys):
    folder_of_images(tmp_path / "photos", "abcdefghij", 40)
    _, path = network(tmp_path, "4C MP2 FC10", classes=["a", "b", "x", *"defghij"])
    assert main(["classify", "evaluate", path, "--data", str(tmp_path / "photos")]) == 2
    error = capsys.readouterr().err
    assert f"{path} was trained on other classes: its class 2 is 'x', that of photos 'c'; evaluate it on data" in error


def test_a_label_out_of_range_is_told_before_training(tmp_path, capsys):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        labels = bytes([*range(10), 11 if part == "train" else 0])
        head = struct.pack(">4B", 0, 0, 8, 3) + struct.pack(">3I", 11, 10, 10)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + bytes(1100))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 11) + labels)
    run = ["--data", "mnist", "--data-root", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["classify", "train", "digits", *SMALL, *run]) == 2
    error = capsys.readouterr().err
    assert "train-labels-idx1-ubyte holds the label 11, expected 0 to 9; fetch it again" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [([], r"takes inputs .* \[1, 10, 10\], nmnist gives \[2, 34, 34\]"), (["--model.classes", "3"], "nmnist gives")],
)
def test_a_misfit_is_found_before_recordings_are_read(tmp_path, capsys, change, message):
    write_synthetic("nmnist", tmp_path, train=1, test=1)
    where = ["--data", "nmnist", "--data-root", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["classify", "train", "digits", *SMALL, *change, *where]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / ".cache").exists()


def test_help_of_predict_names_its_files(capsys):
    with pytest.raises(SystemExit):
        main(["classify", "predict", "--help"])
    told = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())
    assert "predict [-h] RUN FILE... [--top" in told
    assert "FILE... Images (png, jpg, ...) or event recordings (.bin, .aedat)" in told and "(at least one)" in told


def test_help_speaks_of_classifiers(capsys):
    with pytest.raises(SystemExit):
        main(["classify", "train", "dvs128", "--help"])
    told = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())
    assert "{constant,cosine}" in told and "Inputs per step" in told and "Compile the network with" in told
    assert "--precision fp16 as the authors had it" in told and "runs/PRESET" not in told


def test_info_reads_a_classifier(run, capsys):
    assert main(["info", str(run), "--json"]) == 0
    metadata = json.loads(capsys.readouterr().out)
    assert metadata["kind"] == "classifier" and metadata["config"]["T"] == 3


def test_a_dry_run_prints_the_configuration(capsys):
    assert main(["classify", "train", "dvs128", "--model.T", "16", "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["configuration"]["model"]["T"] == 16 and told["run"]["out"] == "runs/classify/dvs128"
    net = from_dict(ClassifierConfig, told["configuration"]["model"])
    assert told["parameters"] == sum(p.numel() for p in SpikingClassifier(net).parameters())


@pytest.mark.parametrize(
    ("layers", "message"),
    [("4C MP2 FC20 LIF Vote3", "Vote3 needs a multiple of 3 neurons, found 20"), ("4C FC9", "the network ends in [9]")],
)
def test_a_dry_run_refuses_what_cannot_be_built(capsys, tmp_path, monkeypatch, layers, message):
    monkeypatch.chdir(tmp_path)
    assert main(["classify", "train", "digits", "--model.layers", layers, "--dry-run"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and message in err
    assert not list(tmp_path.iterdir())


def test_curves_name_what_they_were_measured_on(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves.Figure, "savefig", lambda self, path, **k: (drawn.append(self), path.touch()))
    command = ["classify", "train", "digits", *SMALL, "--epochs", "1", "--test-every-epoch", "--out"]
    assert main([*command, str(tmp_path / "run")]) == 0
    (legend,) = (axis.get_legend() for axis in drawn[0].axes if axis.get_legend())
    assert {text.get_text() for text in legend.get_texts()} == {"training", "validation", "test"}


def test_a_resumed_run_takes_no_settings(run, capsys):
    for args in (["--lr", "3"], ["--lr=3"], ["--device", "cpu", "--model.layers", "4C FC10"]):
        assert main(["classify", "train", "--resume", str(run), *args]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        name = next(arg for arg in args if arg != "--device" and arg.startswith("--"))
        assert f"a resumed run keeps its own settings, found {name}: start a new run to change it" in line
        assert line.endswith(
            "Besides --resume there may be --data-root, --download, --device, --dry-run, --epochs, --steps, "
            "and --data where its data have moved to"
        )


def test_resume_goes_on_with_its_own_configuration(run, capsys):
    assert main(["classify", "train", "--resume", str(run), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"]["model"]["T"] == 3
    assert main(["classify", "train", "--resume", str(run)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("the run was finished already at step 42 of 42, nothing was trained; model: ")
    assert "test accuracy on digits" in told


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
        (["pridict"], r"unknown command 'pridict' \(did you mean 'predict'\?\): choose one of"),
        (["train", "nope"], "unknown preset 'nope': choose"),
        (["train", "dvs218"], r"unknown preset 'dvs218' \(did you mean 'dvs128'\?\): choose one of"),
        (["train", "digits", "--data", "N-MNIST"], r"unknown data set 'N-MNIST' \(did you mean 'nmnist'\?\): choose"),
        (["train", "--epochs", "3"], "put a preset before --epochs"),
        (
            ["train", "digits", "--model.classes", "11"],
            "the model has 11 classes, digits 10; train one with --model.classes 10",
        ),
        (["train", "digits", "--data", "mnist", "--data-root", "nowhere"], "mnist: missing"),
        (
            ["train", "digits", "--data", "photos"],
            r"unknown data set 'photos': choose one of \['digits', .*, of the event sets \['dvs128', .*, or a folder",
        ),
        (["train", "synthetic-events", "--model.classes", "5"], "5 classes, synthetic-events 4"),
        (["predict", "net.safetensors", "a.png", "--top", "0"], "--top must be at least 1 class, found 0"),
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
    assert "is of a run of a 'fsvae', fsvae-tcja classify train resumes 'classifier'" in capsys.readouterr().err


# Single files

EVENTS = ClassifierConfig("AP2 FC3", T=2, shape=(2, 6, 5), classes=3)


def events(n=20, width=5, height=6):
    generator = torch.Generator().manual_seed(0)
    x, y, p = (torch.randint(0, end, (n,), generator=generator).numpy() for end in (width, height, 2))
    return make_events(x, y, torch.arange(n).numpy() * 10, p)


def test_recordings_are_read_by_what_they_are(tmp_path):

    for file in (tmp_path / "a.bin", tmp_path / "B.BIN"):
        write_atis(file, events())
        [(name, x)] = read_inputs(file, EVENTS)
        assert name == str(file) and x.shape == (2, 1, 2, 6, 5) and x.sum() == 20
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


def test_doctor_lists_the_event_sets(tmp_path, capsys):
    write_synthetic("nmnist", tmp_path, train=1, test=1)
    folder = write_synthetic("dvs128", tmp_path, train=1, test=1)
    (folder / "trials_to_test.txt").write_text("")
    (tmp_path / "NMNIST" / "Train" / "3" / "00000.bin").write_bytes(b"not looked at")
    assert main(["doctor", "--data-root", str(tmp_path)]) == 0
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in capsys.readouterr().out.splitlines()}
    assert told["nmnist"] == "found" and told["synthetic-events"] == "drawn on its first use"
    assert told["cifar10dvs"] == f"missing {tmp_path / 'CIFAR10DVS'}"
    assert told["dvs128"] == f"damaged: {folder / 'trials_to_test.txt'} is empty"
    assert not (tmp_path / ".cache").exists()
