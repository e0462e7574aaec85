"""A measure, a protocol and a network from outside the package, by the names that they are given here."""

from dataclasses import replace

import pytest
import torch

from eval import MEASURES, NETWORKS, PROTOCOLS, Autoencoder, Extractor, Measure, Network, Networks, Protocol, evaluate
from eval.cli import main
from eval.measures import FeatureStore
from eval.result import load_scores


class MeanGap(Measure[FeatureStore]):
    """The distance between the means of both sides."""

    collector = FeatureStore

    def collect(self, recipe, dim, n, device):
        return FeatureStore()

    def value(self, recipe, scored, reference):
        gap = scored.features.mean(0) - reference.features.mean(0)
        return {recipe.score: (gap.norm().item(), None)}

    def notes(self, recipe, scored, reference):
        return (f"{recipe.score}: a toy",)


@pytest.fixture
def mine(monkeypatch):
    """A protocol of one's own, with one's own measure in the autoencoder of the FAD."""
    recipe = replace(PROTOCOLS["strict"].recipe("FAD"), protocol="mine", score="Gap", measure="mean gap")
    monkeypatch.setitem(MEASURES, "mean gap", MeanGap())
    monkeypatch.setitem(PROTOCOLS, "mine", Protocol("mine", "for a test", ("Gap",), (recipe,)))


def test_a_measure_and_a_protocol(mine, tmp_path):
    autoencoder = Autoencoder().eval()
    given = {"reference": "digits:test", "networks": Networks(autoencoder=autoencoder)}
    (score,) = evaluate("digits:train", "mine", **given)
    same, (half,) = evaluate("digits:test", "mine", **given)[0], evaluate("digits:train", "mine", n=700, **given)
    assert (score.name, score.protocol, score.n, score.notes) == ("Gap", "mine", 1500, ("Gap: a toy",))
    assert score.value > same.value == 0 and half.n == 700
    with pytest.raises(ValueError, match="cannot be compared; they differ in n: 1500 and 700"):
        score - half
    autoencoder.save(tmp_path / "fad.safetensors")
    options = ["--networks.autoencoder", str(tmp_path / "fad.safetensors"), "--out", str(tmp_path / "s.json")]
    command = ["score", "digits:train", "--protocol", "mine", "--reference", "digits", "--device", "cpu", *options]
    assert main(command) == 0 and load_scores(tmp_path / "s.json")[0] - score == 0
    assert main(["reference", "digits", "--protocol", "mine", "--scores", "Gap", *options]) == 2


class Pixels(Network):
    """A network without weights: a few pixels."""

    option, about = "pixels", "Nothing: it has no weights."

    def load(self, given, recipe, layers, device, download=False):
        def features(images):
            return {"some": images.to(device, torch.float64).flatten(1)[:, 100:104]}

        return Extractor("pixels", "0" * 64, {"some": 4}, device, features)


def test_a_network(mine, monkeypatch):
    monkeypatch.setitem(NETWORKS, "pixels", Pixels())
    recipe = replace(PROTOCOLS["mine"].recipes[0], extractor="pixels", layer="some")
    (score,) = evaluate("digits:train", Protocol("own", "", ("Gap",), (recipe,)), reference="digits")
    assert score.value > 0 and score.extractor_description == "pixels"
    with pytest.raises(ValueError, match=r"unknown network 'pixel' \(did you mean 'pixels'\?\)"):
        Networks(pixel="somewhere")
