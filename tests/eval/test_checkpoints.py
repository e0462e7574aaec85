"""Checkpoints of ours on either side of a score."""

import numpy as np
import pytest
import torch

import classifiers.checkpoint
from eval import Autoencoder, Networks, evaluate, load_reference, load_scores, make_references, open_images
from eval.checkpoints import find_checkpoint
from eval.cli import main
from fsvae_tcja import FSVAE, FSVAEConfig, cli, load, save
from fsvae_tcja.data.pixels import to_uint8
from fsvae_tcja.runtime import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with an untrained model whose neurons fire."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        torch.manual_seed(0)
        model = FSVAE(FSVAEConfig(T=4, channels=(4, 4, 4, 4)))
        for name, parameter in model.named_parameters():
            if "norm.weight" in name:
                parameter.data.uniform_(0.8, 1.5)
            if "norm.bias" in name:
                parameter.data.normal_(0.15, 0.2)
        with torch.no_grad():
            for _ in range(3):
                model(torch.rand(16, 1, 32, 32) * 2 - 1)
        assert len(model.eval().sample(64, 3).flatten(1).unique(dim=0)) == 64
        save(model, folder / "model.safetensors")
        np.savez(folder / "drawn.npz", images=to_uint8(model.sample(80, 3)).permute(0, 2, 3, 1).numpy())
        yield folder


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fad") / "fad.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().save(path)
    return path


def test_a_checkpoint_a_run_and_what_they_draw_are_scored_alike(run, autoencoder):
    given = {"n": 80, "seed": 3, "reference": "digits:test", "networks": Networks(autoencoder=autoencoder)}
    sources = (run, str(run / "model.safetensors"), load(run), run / "drawn.npz")
    (one,), (two,), (model,), (drawn,) = (evaluate(source, "strict", **given) for source in sources)
    assert one.value == two.value == model.value == pytest.approx(drawn.value, rel=1e-9) and one.seed == 3
    assert one.images.startswith("fsvae on unknown data, step unknown, ") and one.images.endswith(", seed 3")


def test_one_command_under_three_names(run, autoencoder, tmp_path):
    """`fsvae-tcja score`, `fsvae-tcja eval score` and `python -m eval score`."""
    options = [str(run), "--reference", "digits", "--n-images", "80", "--networks.autoencoder", str(autoencoder)]
    options += ["--device", "cpu", "--out"]
    assert cli.main(["score", *options, str(tmp_path / "one.json")]) == 0
    assert cli.main(["eval", "score", *options, str(tmp_path / "two.json")]) == 0
    assert main(["score", *options, str(tmp_path / "three.json")]) == 0
    one, two, three = (load_scores(tmp_path / f"{name}.json")[0] for name in ("one", "two", "three"))
    assert one - two == one - three == 0 and one.seed == 0


def test_a_checkpoint_as_reference_draws_on_a_seed_of_its_own(run, autoencoder):
    networks = Networks(autoencoder=autoencoder)
    (near,) = evaluate(run, "strict", n=100, reference=run, networks=networks)
    (far,) = evaluate("digits:train", "strict", n=100, reference=run / "model.safetensors", networks=networks)
    assert near.reference == far.reference and near.reference_description.endswith("seed 1000000, 100 images")
    assert 0 < near.value < far.value
    with pytest.raises(ValueError, match="draws as many images as one likes: say how many to score"):
        evaluate(run, "strict", reference="digits", networks=networks)


def test_options_that_a_checkpoint_does_not_take_are_refused(run, autoencoder, tmp_path, capsys):
    options = [
        "--reference",
        str(run),
        "--n-images",
        "80",
        "--networks.autoencoder",
        str(autoencoder),
        "--device",
        "cpu",
    ]
    for more, message in (
        (["--size", "64"], "holds images of 32 x 32 pixels and is not brought to 64 (size, --size)"),
        (["--value-range", "0..1"], "its pixels are in -1..1, 0..1 was stated; leave it out"),
    ):
        assert main(["score", str(run), *options, *more]) == 2
        assert message in capsys.readouterr().err
    assert open_images(run, name="mine").name == "mine"


def test_statistics_of_a_checkpoint_need_to_know_how_many(run, autoencoder, tmp_path, capsys):
    options = ["reference", str(run), "--networks.autoencoder", str(autoencoder), "--device", "cpu", "--out"]
    assert main([*options, str(tmp_path / "statistics")]) == 2
    assert "say how many to score (n, --n-images)" in capsys.readouterr().err
    assert main([*options, str(tmp_path / "statistics"), "--n-images", "80"]) == 0
    assert load_reference(tmp_path / "statistics" / "strict-FAD.safetensors").n == 80


def test_a_spiking_classifier_is_called_by_its_name(tmp_path):
    metadata = {"kind": classifiers.checkpoint.KIND, "config": {}}
    checkpoint.write(tmp_path / "spiking.safetensors", {"model.0.weight": torch.zeros(4)}, metadata)
    networks = Networks(classifier=tmp_path / "spiking.safetensors")
    with pytest.raises(
        ValueError, match="holds a spiking classifier, expected the classifier that scores look through"
    ):
        evaluate("digits:train", "strict", reference="digits", networks=networks)


def test_other_safetensors_are_no_checkpoints(run, autoencoder, tmp_path):
    references = make_references("digits", "strict", networks=Networks(autoencoder=autoencoder))
    references["FAD"].save(tmp_path / "statistics.safetensors")
    for path in (autoencoder, tmp_path / "statistics.safetensors"):
        assert find_checkpoint(path) is None
        with pytest.raises(ValueError, match="holds weights or statistics, no images and no checkpoint"):
            open_images(path)
    assert find_checkpoint(run) == run / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="is no run folder, or its training has not saved a model yet"):
        find_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*absent.safetensors"):
        find_checkpoint(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut.safetensors is truncated"):
        evaluate(tmp_path / "cut.safetensors", "strict", n=9, reference="digits")
