"""fsvae-tcja train --score-every."""

import json
import os
import shutil
import signal

import pytest
from PIL import Image

from eval import Classifier
from eval.result import load_scores
from fsvae_tcja.cli import main
from fsvae_tcja.data import load_images
from fsvae_tcja.vae.train import FSVAETask
from tests.conftest import long
from tests.curves import undrawn

from .program import SHORT, TINY, rows_of, train


def scored(folder) -> dict[str, list]:
    """The scores of a run by epoch."""
    return {file.stem: load_scores(file) for file in sorted((folder / "scores").iterdir())}


def test_scores_while_training_are_kept_and_leave_the_weights_alone(run, autoencoder, classifier, tmp_path):
    options = ["--score-every", "2", "--score-n", "70", "--autoencoder", str(autoencoder)]
    assert train(tmp_path / "scored", *SHORT, *options, "--classifier", str(classifier)) == 0
    assert (tmp_path / "scored" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    scores = scored(tmp_path / "scored")
    assert list(scores) == ["epoch-002"]
    names = {"Domain-Frechet": "domain_frechet_strict", "Domain-IS": "domain_is_strict"}
    named = {"FAD": "fad_strict", **names, "Domain-sure": "domain_sure_strict"}
    assert [(s.name, s.n, s.seed, s.protocol) for s in scores["epoch-002"]] == [(n, 70, 0, "strict") for n in named]
    (row,) = (row for row in map(json.loads, rows_of(tmp_path / "scored" / "metrics.jsonl")) if "fad_strict" in row)
    assert {name: row[name] for name in named.values()} == {named[s.name]: s.value for s in scores["epoch-002"]}
    networks = ["--networks.autoencoder", str(autoencoder), "--networks.classifier", str(classifier)]
    options = ["--reference", "digits", "--scores", *named, "--n-images", "70", "--out", "afterwards.json"]
    assert main(["score", str(run), *options, *networks, "--device", "cpu"]) == 0
    for a, b in zip(load_scores("afterwards.json"), scores["epoch-002"], strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-9) and (a.reference, a.extractor) == (b.reference, b.extractor)


def test_what_scores_say_is_told_in_the_log(autoencoder, tmp_path, caplog, recwarn, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    options = ["--score-every", "1", "--score-n", "20", "--autoencoder", str(autoencoder)]
    assert train(".", "--steps", "2", "--batch-size", "50", *options) == 0
    assert load_scores("scores/epoch-001.json")[0].images.startswith("mine, epoch 1")
    assert "20 scored images for 64 features" in caplog.text
    assert not [warning for warning in recwarn if "scored images" in str(warning.message)]


@pytest.mark.parametrize("data", ["digits", "mine"])
def test_each_score_is_compared_with_its_own_split(autoencoder, tmp_path, data):
    """Copies of training images are looked for among those, while the others compare with images held out."""
    (tmp_path / "mine").mkdir()
    for i, image in enumerate(load_images("digits", "train").images[:80]):
        Image.fromarray(image[0].numpy()).save(tmp_path / "mine" / f"{i:02d}.png")
    options = ["--score-every", "1", "--score-n", "20", "--autoencoder", str(autoencoder)]
    options += ["--scores", "FAD", "AuthPct-AE", "--data", data if data == "digits" else str(tmp_path / data)]
    assert train(tmp_path / "scored", "--steps", "1", "--batch-size", "50", *options) == 0
    (scores,) = scored(tmp_path / "scored").values()
    compared = {score.name: score.reference_description.split(",")[0] for score in scores}
    assert compared == {"FAD": f"{data} test", "AuthPct-AE": f"{data} train"}


@pytest.fixture(scope="module")
def stopped_once(autoencoder, tmp_path_factory):
    """A run that is scored after every epoch and was stopped after the first."""
    evaluate, folder = FSVAETask.end_of_epoch, tmp_path_factory.mktemp("runs") / "stopped"

    def stop(task, epoch, run):
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(task, epoch, run)

    with pytest.MonkeyPatch.context() as patch, undrawn():
        patch.chdir(autoencoder.parent)  # its name is relative
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        patch.setattr(FSVAETask, "end_of_epoch", stop)
        options = ["--score-every", "1", "--score-n", "120", "--autoencoder", autoencoder.name]
        assert train(folder, *SHORT, *options) == 130
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return shutil.copytree(stopped_once, tmp_path / "stopped")


def test_a_resumed_run_goes_on_scoring(run, stopped):
    assert main(["train", "--resume", str(stopped), "--device", "cpu"]) == 0
    assert (stopped / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    one, two = scored(stopped).values()
    assert [(s.name, s.n) for s in (*one, *two)] == [("FAD", 120), ("FAD", 120)]
    assert one[0].value != two[0].value


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--score-n", "100"], [("FAD", 100)], marks=long),
        (["--score-n", "100", "--scores", "Domain-IS", "--classifier", "CLASSIFIER"], [("Domain-IS", 100)]),
        (["--score-every", "0"], None),
        pytest.param(["--score-every", "3"], None, marks=long),
    ],
)
def test_what_is_said_on_resuming_replaces_what_was_said(stopped, classifier, options, expected):
    options = [str(classifier) if option == "CLASSIFIER" else option for option in options]
    assert main(["train", "--resume", str(stopped), "--device", "cpu", *options]) == 0
    scores = scored(stopped)
    assert [(s.name, s.n) for s in scores.get("epoch-002", [])] == (expected or [])
    remembered = json.loads((stopped / "scoring.json").read_text())
    assert remembered["score_every"] == (1 if expected else int(options[1]))
    assert remembered["score_n"] == (100 if expected else 120)


def test_a_memory_of_a_former_name(stopped, classifier):
    options = {"score_every": 2, "score_n": 100, "scores": ["sure"], "classifier": str(classifier)}
    (stopped / "scoring.json").write_text(json.dumps(options))
    assert main(["train", "--resume", str(stopped), "--device", "cpu"]) == 0
    assert [(s.name, s.n) for s in scored(stopped)["epoch-002"]] == [("Domain-sure", 100)]


def test_a_damaged_memory_of_scores(stopped, fails):
    for text in ("{", "3", '{"score": 1}'):
        (stopped / "scoring.json").write_text(text)
        assert "scoring.json is damaged" in fails("train", "--resume", stopped)
    (stopped / "scoring.json").write_text('{"score_every": "often"}')
    assert "score_every must be a whole number below 2^63, found 'often'" in fails("train", "--resume", stopped)


def test_what_is_refused_is_not_remembered(stopped, fails, tmp_path):
    before = (stopped / "scoring.json").read_bytes()
    again = ["train", "digits", *TINY, *SHORT, "--lr", "3", "--resume", str(stopped), "--score-every", "0"]
    assert "was trained with another configuration" in fails(*again)
    assert (stopped / "scoring.json").read_bytes() == before
    scored = ["--score-every", "1", "--scores", "FAD", "--autoencoder", json.loads(before)["autoencoder"]]
    assert "no checkpoint at nothing" in fails(
        "train", "digits", *TINY, *SHORT, *scored, "--init-from", "nothing", "--out", "new"
    )
    assert not (tmp_path / "new").exists()


def test_a_new_run_does_not_remember(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "scoring.json").write_text('{"score_every": 1}')
    assert train(tmp_path / "new", "--epochs", "1") == 0
    assert not (tmp_path / "new" / "scoring.json").exists() and not (tmp_path / "new" / "scores").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--score-every", "1"],
            "(--networks.autoencoder; while training --autoencoder), or make one: fsvae-tcja eval train-fad",
        ),
        (
            ["--score-every", "-1"],
            "--score-every must say how many epochs lie between two scores, or 0 for none; found",
        ),
        (
            ["--evaluate-every", "2", "--score-every", "3", "--autoencoder", "AUTOENCODER"],
            "--score-every must be a multiple of --evaluate-every 2, found 3",
        ),
        (["--autoencoder", "AUTOENCODER"], "--score-every must say how many epochs lie between two scores"),
        (
            ["--score-every", "1", "--autoencoder", "absent.safetensors"],
            "absent.safetensors; make one with `fsvae-tcja eval",
        ),
        (["--score-every", "1", "--scores", "FID", "--autoencoder", "AUTOENCODER"], "protocol strict defines no FID"),
        (
            ["--score-every", "1", "--score-n", "9", "--scores", "Domain-IS", "--classifier", "CLASSIFIER"],
            "over 10 splits needs at least 10 images, found 9",
        ),
        (
            ["--score-every", "1", "--score-protocol", "fsvae2022", "--score-n", "9", "--autoencoder", "AUTOENCODER"],
            "FAD under protocol fsvae2022 takes exactly 5120 images, 9 were asked for",
        ),
        (
            ["--score-every", "1", "--scores", "Domain-sure", "--classifier", "LARGER"],
            "takes 64 x 64 images, found 32 x 32",
        ),
    ],
)
def test_scores_while_training_are_checked_before_it(autoencoder, classifier, fails, tmp_path, options, message):
    Classifier(size=64).save(larger := classifier.with_name("larger.safetensors"))
    files = {"AUTOENCODER": autoencoder, "CLASSIFIER": classifier, "LARGER": larger}
    options = [files.get(option, option) for option in options]
    for more in ((), ("--dry-run",)):
        assert message in fails("train", "digits", *TINY, "--out", tmp_path / "new", *options, *more)
    assert not list(tmp_path.iterdir())
