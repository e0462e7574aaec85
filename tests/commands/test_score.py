"""fsvae-tcja score: checkpoints, and the images that they draw."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from eval.checkpoints import drawn_from, find_checkpoint
from eval.provenance import tensors_sha256
from eval.result import load_scores
from fsvae_tcja import load
from fsvae_tcja.cli import main


def test_score_takes_a_run_a_checkpoint_and_the_images_they_draw(run, autoencoder, tmp_path):
    assert main(["sample", str(run), "--n", "80", "--seed", "3", "--out", str(tmp_path / "drawn")]) == 0
    assert main(["sample", str(run), "--n", "80", "--seed", "3", "--out", str(tmp_path / "drawn.npz")]) == 0
    sources = [run, run / "model.safetensors", tmp_path / "drawn", tmp_path / "drawn.npz"]
    values = []
    for i, source in enumerate(sources):
        options = shlex.split("--seed 3 --n-images 80 --reference digits:test --device cpu")
        options += ["--networks.autoencoder", str(autoencoder), "--out", str(tmp_path / f"{i}.json")]
        assert main(["score", str(source), *options]) == 0
        (score,) = json.loads((tmp_path / f"{i}.json").read_text())
        assert (score["protocol"], score["n"], score["seed"]) == ("strict", 80, 3)
        values.append(score["value"])
    assert values == pytest.approx([values[0]] * 4, rel=1e-9)
    assert values[0] > 0


def test_what_is_scored_of_a_checkpoint_is_what_sample_draws(run):
    model = load(run)
    batches = drawn_from(model, 3, "a model").batches(7, 20)
    assert torch.equal(torch.cat([images for _, images in batches]), model.sample(20, seed=3))


def test_score_takes_a_checkpoint_as_reference(run, autoencoder, tmp_path):
    """As many images as are scored, on a seed of their own: two samples of one model are near and not equal."""
    network = ["--networks.autoencoder", str(autoencoder), "--device", "cpu"]
    values = {}
    for images, reference in itertools.product([run, "digits:train"], [run, run / "checkpoint.safetensors"]):
        options = ["--reference", str(reference), "--n-images", "300", "--out", "s.json", *network]
        assert main(["score", str(images), *options]) == 0
        (score,) = load_scores("s.json")
        Path("s.json").unlink()
        assert score.n == 300 and score.seed == (0 if images == run else None)
        named = rf"fsvae on digits, step 60, {tensors_sha256(load(run).state_dict())[:8]}, seed \d+, 300 images"
        assert re.fullmatch(named, score.reference_description)
        values[images, reference] = score
    near, also_near, far, also_far = values.values()
    assert near - also_near == far - also_far == 0  # the run folder and its checkpoint are one reference
    assert 0 < near.value < 0.1 * far.value


def test_a_name_of_a_data_set_and_of_a_model_is_told(tmp_path, capsys):
    """And what is named instead is scored as the model."""
    assert main(["score", "mnist", "--reference", "digits", "--data-root", str(tmp_path)]) == 2
    note, missing, *_ = capsys.readouterr().err.splitlines()
    place = re.fullmatch(r"note: mnist is scored as the data set, .*: fsvae-tcja score (.+)", note)
    assert place and find_checkpoint(place[1]) and "mnist: missing" in missing
    assert main(["score", "mnist:test", "--reference", "digits", "--data-root", str(tmp_path)]) == 2
    assert "note: " not in capsys.readouterr().err


@pytest.mark.parametrize("args", [("--while-training",), ("runs/mnist", "--while-training")])
def test_scores_while_training_are_asked_of_train(fails, args):
    assert "are asked of `fsvae-tcja train PRESET --score-every EPOCHS ...`" in fails("score", *args)


def test_wrong_settings_of_score(run, autoencoder, fails):
    network = ["--networks.autoencoder", autoencoder, "--reference", "digits", "--n-images", "80"]
    for seed in (-1, 2**63):
        assert f"seed must be in 0..2^63 - 1, found {seed}" in fails("score", run, "--seed", seed, *network)
    assert "mnist (--networks.autoencoder" in fails("score", run, "--n-images", 80, "--reference", "digits")


def test_help_of_score_points_to_scores_while_training(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert "While training: fsvae-tcja train PRESET --score-every EPOCHS" in capsys.readouterr().out


def test_scoring_without_an_autoencoder_says_what_to_do(run, capsys):
    assert main(["score", str(run), "--n-images", "80", "--reference", "digits:test"]) == 2
    assert "make one: fsvae-tcja eval train-fad" in capsys.readouterr().err
