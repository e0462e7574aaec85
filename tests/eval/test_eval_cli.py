"""fsvae-tcja eval: training, references, scores, comparisons, errors."""

import io
import itertools
import json
import os
import re
import shlex
import signal
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from eval import training
from eval.cli import main
from eval.networks.autoencoder import Autoencoder
from eval.result import load_scores
from fsvae_tcja.data import MemoryImages
from fsvae_tcja.data.load import load_images
from tests.conftest import long


def few_images(*args, **options):
    """The first 150 images of a data set of 150 or more."""
    data = load_images(*args, **options)
    return MemoryImages(data.name, data.split, data.images[:150], data.labels[:150], data.classes)


@pytest.fixture
def few(monkeypatch):
    """Networks are trained on few images."""
    monkeypatch.setattr("eval.commands.train.load_images", few_images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An autoencoder and a classifier trained on few images, and statistics, all made by commands."""
    folder = tmp_path_factory.mktemp("eval")
    train = ["digits", "--epochs", "1", "--batch-size", "10", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.commands.train.load_images", few_images)
        main(["train-fad", *train, "--out", str(folder / "fad.safetensors")])
        main(["train-classifier", *train, "--out", str(folder / "classifier.safetensors")])
    network = ["--networks.autoencoder", str(folder / "fad.safetensors"), "--device", "cpu"]
    main(["reference", "digits", *network, "--out", str(folder / "statistics")])
    return folder


def status(folder, images, *options) -> int:
    """The exit status of scoring with the autoencoder."""
    network = ["--networks.autoencoder", str(folder / "fad.safetensors"), "--device", "cpu"]
    (folder / "scores.json").unlink(missing_ok=True)
    return main(["score", str(images), *network, "--out", str(folder / "scores.json"), *map(str, options)])


def score(folder, images, *options) -> list:
    assert status(folder, images, *options) == 0
    return load_scores(folder / "scores.json")


def test_training_keeps_its_metadata(folder):
    metadata = Autoencoder.load(folder / "fad.safetensors").provenance
    assert (metadata["data"], metadata["split"], metadata["epochs"], metadata["seed"]) == ("digits", "train", 1, 0)
    assert 0 < metadata["test_mse"] < 1


def test_the_bar_of_statistics_ends_with_the_images_that_are_read(folder, monkeypatch, tmp_path):
    totals, read = [], []

    @contextmanager
    def bar(total):
        totals.append(total)
        yield read.append

    monkeypatch.setattr("eval.commands.reference.image_bar", bar)
    network = ["--networks.autoencoder", str(folder / "fad.safetensors"), "--device", "cpu"]
    for options in ((), ("--n-images", "100")):
        assert main(["reference", "digits", *network, "--out", str(tmp_path / f"{len(options)}"), *options]) == 0
        assert totals.pop() == sum(read)
        read.clear()


def test_scores_from_statistics_and_from_images_agree(folder, capsys):
    (stored,) = score(folder, "digits:train", "--reference", folder / "statistics", "--n-images", 200)
    table = capsys.readouterr().out
    assert re.search(r"│ FAD +│ lower +│", table) and "strict" in table and "digits test, 297 images" in table
    (direct,) = score(folder, "digits:train", "--reference", "digits", "--n-images", 200)
    assert stored.value == direct.value and stored.n == 200
    assert stored - direct == 0


def test_files_of_images(folder):
    images = load_images("digits", "train").images[:100].numpy()
    np.savez(folder / "images.npz", images=images[:, 0])
    np.save(folder / "images.npy", images / 255)
    a, b = (
        score(folder, folder / name, "--reference", folder / "statistics", *options)[0]
        for name, options in (("images.npz", ()), ("images.npy", ("--value-range", "0..1")))
    )
    assert a.value == b.value
    assert (a.value_range, b.value_range) == (None, "0..1")
    np.save(folder / "centred.npy", images / 127.5 - 1)
    ranges = "--value-range", "0..1", "--reference-range", "-1..1"
    (both,) = score(folder, folder / "images.npy", "--reference", folder / "centred.npy", *ranges)
    assert both.value == pytest.approx(0, abs=1e-9)


def test_floats_have_to_state_their_range(folder, capsys):
    np.save(folder / "images.npy", load_images("digits", "train").images.numpy() / 255)
    for images, reference in (("images.npy", "statistics"), ("images.npz", "images.npy")):
        np.savez(folder / "images.npz", images=load_images("digits", "train").images.numpy())
        assert status(folder, folder / images, "--reference", folder / reference) == 2
        assert "range of floating point pixels is not stated: say value_range" in capsys.readouterr().err


def test_domain_scores(folder):
    classifier = "--networks.classifier", folder / "classifier.safetensors"
    names = "--scores", "Domain-IS", "Domain-Frechet", "Domain-sure"
    scores = score(folder, "digits:train", "--reference", "digits", "--n-images", 200, *classifier, *names)
    assert [s.name for s in scores] == ["Domain-IS", "Domain-Frechet", "Domain-sure"]
    assert 0 <= scores[2].value <= 1 and scores[2].std is scores[2].reference is None
    assert json.loads((folder / "scores.json").read_text())[0]["recipe"]["splits"] == 10


def test_scores_follow_from_the_networks_that_are_given(folder):
    options = ["score", "digits:train", "--reference", "digits", "--n-images", "100", "--device", "cpu"]
    options += ["--out", str(folder / "given.json")]
    classifier = ["--networks.classifier", str(folder / "classifier.safetensors")]
    for networks, names in (
        (classifier, ["Domain-Frechet", "Domain-IS", "Domain-sure"]),
        (
            [*classifier, "--networks.autoencoder", str(folder / "fad.safetensors")],
            ["FAD", "Domain-Frechet", "Domain-IS", "Domain-sure"],
        ),
    ):
        assert main([*options, *networks]) == 0
        assert [s.name for s in load_scores(folder / "given.json")] == names
        (folder / "given.json").unlink()


def test_two_files_of_scores_are_compared(folder, capsys):
    """A table with differences; what was not measured the same way is refused, and why is said."""
    np.save(folder / "noise.npy", np.random.RandomState(0).randint(0, 256, (80, 32, 32), dtype=np.uint8))
    for name, images, n in (("a", "digits:train", 80), ("b", folder / "noise.npy", 80), ("c", "digits:train", 70)):
        out = "--n-images", n, "--out", folder / f"{name}.json"
        assert status(folder, images, "--reference", "digits", *out) == 0
    a, b, c = (load_scores(folder / f"{name}.json")[0] for name in "abc")
    capsys.readouterr()
    assert main(["compare", str(folder / "a.json"), str(folder / "b.json")]) == 0
    shown = capsys.readouterr().out
    assert all(f"{value:.5g}" in shown for value in (a.value, b.value)) and f"{b - a:+.5g}" in shown
    assert main(["compare", str(folder / "a.json"), str(folder / "c.json")]) == 2
    shown = capsys.readouterr()
    assert f"{c.value:.5g}" in shown.out and "80, 70" in shown.out
    assert shown.err == "error: FAD: these scores cannot be compared; they differ in n: 70 and 80\n"
    (score_of_e,) = score(folder, "digits:train", "--reference", folder / "noise.npy", "--n-images", 80)
    (folder / "e.json").write_bytes((folder / "scores.json").read_bytes())
    capsys.readouterr()
    assert main(["compare", str(folder / "a.json"), str(folder / "e.json")]) == 2
    refused = capsys.readouterr().err
    for one in (a, score_of_e):
        assert f"{one.reference_description} ({one.reference[:8]})" in refused and one.reference not in refused
    assert main(["compare", str(folder / "a.json"), str(folder / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err


def test_notes_are_shown(folder, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a note says it once
        score(folder, "digits:train", "--reference", "digits", "--n-images", 30)
    assert (
        capsys.readouterr().out.count("note: FAD: 30 scored images for 64 features: their covariance has rank 29") == 1
    )


def test_nothing_that_is_printed_ends_a_finished_score(folder, monkeypatch):
    """On an ASCII terminal, with a deviation to show and a file whose name is neither ASCII nor UTF-8."""
    name = os.fsdecode(b"caf\xc3\xa9 \xff.npy")
    np.save(folder / name, load_images("digits", "train").images[:100].numpy())
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    classifier = "--networks.classifier", folder / "classifier.safetensors", "--scores", "FAD", "Domain-IS"
    scores = score(folder, folder / name, "--reference", "digits", *classifier)
    assert main(["compare", str(folder / "scores.json"), str(folder / "scores.json")]) == 0
    sys.stdout.flush()
    shown = sys.stdout.buffer.getvalue().decode("ascii")
    assert f"{scores[1].std:.3g}" in shown and "caf\\xe9 \\udcff.npy" in shown


def test_names_are_shown_as_they_are_and_scores_written_first(folder, capsys, monkeypatch):
    """Square brackets and colons are no markup."""
    np.save(folder / "run[v2] [red] :train:.npy", load_images("digits", "train").images[:100].numpy())
    score(folder, folder / "run[v2] [red] :train:.npy", "--reference", folder / "statistics")
    shown = capsys.readouterr().out
    assert "run[v2] [red] :train:.npy" in shown
    assert "pixels of the images: 32 x 32; of the reference: 32 x 32" in shown
    (folder / "scores.json").unlink()

    class Shown(io.StringIO):
        def write(self, text):
            assert len(load_scores(folder / "scores.json")) == 1
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", shown := Shown())
    score(folder, "digits:train", "--reference", folder / "statistics")
    assert "FAD" in shown.getvalue()


def test_a_folder_brought_to_a_size_says_so(folder, capsys):
    (folder / "small").mkdir()
    for i, image in enumerate(load_images("digits", "train", size=16).images[:80]):
        Image.fromarray(image[0].numpy()).save(folder / "small" / f"{i:03d}.png")
    (resized,) = score(folder, folder / "small", "--reference", "digits", "--size", "32")
    assert (resized.pixels, resized.reference_pixels) == ("16 to 32, PIL bilinear", "32 x 32")
    assert "pixels of the images: 16 to 32, PIL bilinear; of the reference: 32 x 32" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["score", "reference", "train-fad", "train-classifier"])
def test_missing_data_are_fetched_on_demand(command, folder, capsys, monkeypatch, tmp_path):
    def refused(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr("fsvae_tcja.data.image_sets.download.torchvision_dataset", lambda name: refused)
    out = tmp_path / ("out.json" if command == "score" else "out.safetensors")
    options = ["mnist", "--data-root", str(tmp_path), "--out", str(out), "--device", "cpu"]
    for extra, message in ((["--download"], "mnist: the download failed (no network here)"), ([], "mnist: missing")):
        assert main([command, *options, *extra]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train-fad", "train-classifier"])
@pytest.mark.parametrize("at", [2, pytest.param(3, marks=long), pytest.param(5, marks=long)])  # of 3 steps an epoch
def test_ctrl_c_and_resume_give_the_uninterrupted_network(command, at, few, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = [command, "digits", "--batch-size", "50", "--device", "cpu", "--epochs", "2", "--out"]
    steps, to_float = itertools.count(1), training.to_float

    def interrupting(images):
        if next(steps) == at:
            signal.raise_signal(signal.SIGINT)
        return to_float(images)

    with monkeypatch.context() as patch:
        patch.setattr("eval.training.to_float", interrupting)
        assert main([*options, "a b.safetensors"]) == 130
    assert not (tmp_path / "a b.safetensors").exists()
    shown = capsys.readouterr()
    assert shown.err.count("epoch 1/2: loss ") == (at >= 3)
    again = f"fsvae-tcja eval {command} digits --out 'a b.safetensors' --epochs 2 --batch-size 50 --device cpu --resume"
    assert shown.out == f"stopped after step {at} of 6; go on with: {again}\n"
    assert main([*options, "a b.safetensors"]) == 2
    assert "a b-training already holds a training: go on with `fsvae-tcja eval train-" in capsys.readouterr().err
    assert main(shlex.split(again)[2:]) == 0
    out = capsys.readouterr().out
    assert out.startswith("written to a b.safetensors: test ") and "is no sound judge: " in out
    main([*options, "whole.safetensors"])
    assert (tmp_path / "a b.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


@pytest.mark.parametrize("command", ["score", "reference", "train-fad", "train-classifier"])
def test_help_names_what_an_option_takes(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert "INT" in out and "{None}" not in out


@pytest.mark.parametrize("command", ["train-fad", "train-classifier"])
def test_a_network_that_is_not_finite_is_not_written(command, few, capsys, tmp_path):
    """After one step of 1e30 the weights are finite, and what they give is not."""
    out = tmp_path / "network.safetensors"
    options = ["digits", "--batch-size", "150", "--epochs", "1", "--lr", "1e30", "--device", "cpu", "--out", str(out)]
    assert main([command, *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: the training went astray (test ") and error.endswith("with a lower --lr")
    assert not out.exists()


@pytest.mark.parametrize("command", ["train-fad", "train-classifier"])
def test_a_network_that_diverged_is_not_written(command, few, capsys, monkeypatch, tmp_path):
    """By its last step, after which no loss tells."""
    fit = training.Trainer.fit

    def diverging(trainer, resume):
        outcome = fit(trainer, resume)
        next(trainer.task.model.parameters()).data.fill_(float("inf"))
        return outcome

    monkeypatch.setattr(training.Trainer, "fit", diverging)
    out = tmp_path / "network.safetensors"
    options = ["--epochs", "1", "--batch-size", "50", "--device", "cpu", "--out", str(out)]
    assert main([command, "digits", *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: the training diverged, the weights are not finite: train anew with another --lr")
    assert error.endswith(f"delete {tmp_path / 'network-training'}") and not out.exists()


def test_what_was_not_begun_cannot_be_resumed(capsys, tmp_path):
    assert main(["train-fad", "digits", "--device", "cpu", "--out", str(tmp_path / "fad.safetensors"), "--resume"]) == 2
    assert "cannot resume: no checkpoint at" in capsys.readouterr().err


def test_protocols_are_shown(capsys):
    main(["protocols"])
    shown = capsys.readouterr().out
    assert all(
        name in shown for name in ("standard", "fsvae2022", "strict", "Domain-IS", "Domain-sure", "5120", "float64")
    )


def test_where_nothing_can_be_written_is_said_first(folder, capsys):
    (folder / "file").touch()
    for command, out, message in (
        ("score", "scores.txt", "its name must end in .json"),
        ("score", "file/scores.json", "file is no folder that may be written to"),
        ("train-fad", "fad.pth", "its name must end in .safetensors"),
        ("train-classifier", "file/c.safetensors", "file is no folder that may be written to"),
        ("reference", "file", "file is no folder that may be written to"),
    ):
        assert main([command, "digits" if command == "reference" else "absent", "--out", str(folder / out)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("digits:train", "--reference", "absent"), "there is no folder of images"),
        (
            ("digits:train", "--reference", "fad.safetensors"),
            "holds autoencoder, expected reference statistics or a checkpoint",
        ),
        (("digits:train", "--reference", "nothere.safetensors"), "make them: fsvae-tcja eval reference IMAGES"),
        (("fad.safetensors", "--reference", "digits"), "holds weights or statistics, no images and no"),
        (("digits:train",), "FAD compares images with others: give a reference"),
        (("digits:train", "--reference", "digits:train"), "found digits train; leave the split out"),
        (("digits:train", "--reference", "digits", "--protocol", "fsvae2022"), "takes exactly 5120 images, only 1500"),
        (
            ("digits:train", "--reference", "digits", "--value-range", "0..1"),
            "digits train: pixels in 0..1 were stated",
        ),
        (("digits:train", "--reference", "digits", "--reference-range", "0..1"), "digits test: pixels in 0..1 were"),
        (
            ("digits:train", "--reference", "digits", "--size", "1000000"),
            "at 1,000,000 x 1,000,000 pixels needs at least",
        ),
        (("digits:train", "--reference", "digits", "--n-images", "5000"), "5000 images were asked for, only 1500"),
        (("digits:train", "--reference", "digits", "--scores", "FID"), "protocol strict defines no FID"),
        (
            ("digits:train", "--reference", "digits", "--size", "64"),
            "digits test: the extractor takes 32 x 32 images, found 64 x 64",
        ),
        (("digits:train", "--reference", "digits", "--n", "9"), "unknown option --n (did you mean '--n-images'?)"),
        (("digits:train", "--protocol", "stritc"), "unknown protocol 'stritc' (did you mean 'strict'?)"),
        (("digits:train", "--protocol", "standard"), "the weights of the inception 2015-12-05 network are not at"),
    ],
)
def test_errors_are_one_line(folder, options, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("FSVAE_TCJA_INCEPTION", raising=False)
    monkeypatch.chdir(folder)
    assert status(folder, *options) == 2
    error = capsys.readouterr().err.strip()
    assert "ask for fewer" not in error or "free" in error
    assert error.splitlines()[-1].startswith("error: ") and message in error
    assert not (folder / "scores.json").exists()
