"""fsvae-tcja score: checkpoints, and the images that they draw."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from eval import Autoencoder, Networks, evaluate, write_references
from eval.checkpoints import drawn_from, find_checkpoint
from eval.provenance import tensors_sha256
from eval.result import load_scores
from fsvae_tcja import load
from fsvae_tcja.cli import main
from fsvae_tcja.data.load import load_images


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


def test_a_reference_takes_the_size_of_the_run(run, autoencoder, capsys):
    """A folder's own 40 x 48 pixels become the 32 that the run draws, as in its training; the output says so."""
    folder_of_digits("mine", (40, 48))
    options = ["--n-images", "80", "--networks.autoencoder", str(autoencoder), "--out", "s.json", "--device", "cpu"]
    for reference in ("mine:test", "mine"):
        assert main(["score", str(run), "--reference", reference, "--floor", "mine:train", *options]) == 0
        told = "40 x 48 to 32, PIL bilinear, centre crop"
        assert load_scores("s.json")[0].reference_pixels == told
        out = capsys.readouterr().out
        assert f"note: {reference.replace(':', ' ')}: {told}, the size of the drawn images" in out
        Path("s.json").unlink()
    assert main(["score", str(run), "--reference", "mine:test", "--size", "32", *options]) == 0
    assert "the size of the drawn images" not in capsys.readouterr().out
    (score,) = evaluate(
        load(run), "strict", ("FAD",), reference="mine:test", networks=Networks(autoencoder=autoencoder), n=80
    )
    assert score - load_scores("s.json")[0] == 0


def test_a_network_of_other_data_than_the_folder_is_told_of(run, tmp_path):
    folder_of_digits("mine", (32, 32))
    other = "the autoencoder of mnist was trained on mnist; the folder of the reference is called mine"
    for data, told in (("mnist", True), ("mine", False)):
        network = Autoencoder().eval()
        network.provenance = {"data": data, "test_mse": 0.03, "images": 60_000}
        networks = Networks(autoencoder=network)
        write_references("mine:test", "strict", ("FAD",), tmp_path / data, networks=networks)
        for reference in ("mine:test", "mine", tmp_path / data):
            (score,) = evaluate(load(run), "strict", ("FAD",), reference=reference, networks=networks, n=80)
            assert (other in score.notes) == told


def test_the_floor_beside_a_folder(run, autoencoder):
    """Of its other split; where none is said, the note advises one."""
    folder_of_digits("mine", (32, 32))
    given = {"networks": Networks(autoencoder=autoencoder), "n": 50, "floor": True}
    (score,) = evaluate(load(run), "strict", ("FAD",), reference="mine:test", **given)
    assert score.beside["real images"]["images"] == "mine train"
    (score,) = evaluate(load(run), "strict", ("FAD",), reference="mine", **given)
    (told,) = [note for note in score.notes if note.startswith("no floor")]
    assert "compare with a split of the folder (reference, --reference FOLDER:test)" in told


def folder_of_digits(name, size):
    """60 digits of some width and height in a folder."""
    Path(name).mkdir()
    for i, image in enumerate(load_images("digits", "train").images[:60]):
        Image.fromarray(image[0].numpy()).resize(size).save(f"{name}/{i:02d}.png")


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
