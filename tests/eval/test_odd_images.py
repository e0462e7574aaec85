"""Images of which a score alone would deceive: each score says so in a note."""

from dataclasses import replace

import pytest
import torch

from eval import Extractor, Networks, evaluate, open_images
from eval.protocols import STRICT
from fsvae_tcja import load_images

SCORES = (
    *("FAD", "FD-inf-AE", "MIND-AE", "PRC-AE", "DC-AE", "AuthPct-AE"),
    *("Domain-Frechet", "MIND-Domain", "PRC-Domain", "DC-Domain", "AuthPct-Domain", "Domain-IS", "Domain-sure"),
)


@pytest.fixture(scope="module")
def networks():
    """Projections of the pixels, said to be of MNIST."""
    u = torch.randn(1024, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 32

    def network(name: str, *layers: str) -> Extractor:
        def features(images: torch.Tensor) -> dict[str, torch.Tensor]:
            return dict.fromkeys(layers, images.double().flatten(1) / 16 @ u)

        dims = dict.fromkeys(layers, 16)
        return Extractor(f"{name} of mnist", "0" * 64, dims, torch.device("cpu"), features, data="mnist")

    return Networks(
        autoencoder=network("autoencoder", "latent"), classifier=network("classifier", "features", "logits")
    )


@pytest.fixture(scope="module")
def digits():
    return load_images("digits", "train").images[:300]


def equal(n: int) -> torch.Tensor:
    return torch.full((n, 1, 32, 32), 128, dtype=torch.uint8)


def told(scores, text: str) -> list[str]:
    """The scores one of whose notes has the text."""
    return [score.name for score in scores if any(text in note for note in score.notes)]


@pytest.mark.parametrize("side", ["scored", "reference", "both"])
def test_equal_images_are_told_by_every_score(networks, digits, side):
    images = digits if side == "reference" else equal(200)
    reference = digits if side == "scored" else equal(300)
    scores = evaluate(images, "strict", SCORES, reference=reference, networks=networks)
    without = {"Domain-IS", "Domain-sure"}
    which = "reference" if side == "reference" else "scored"
    assert set(told(scores, f"the {which} images are all but equal")) == {s.name for s in scores} - without
    assert (told(scores, "the network predicts the same of every image") == ["Domain-IS"]) is (side != "reference")
    assert (told(scores, "all images are taken for one class") == ["Domain-sure"]) is (side != "reference")


def test_a_score_asked_for_twice_is_there_once(networks, digits):
    scores = evaluate(digits, "strict", ("PRC-AE", "FAD", "PRC-AE"), reference=digits, networks=networks)
    assert [score.name for score in scores] == ["Precision-AE", "Recall-AE", "FAD"]
    scores = evaluate(digits, "strict", ("sure", "Domain-sure"), networks=networks)
    assert [(score.name, score.recipe["score"]) for score in scores] == [("Domain-sure", "Domain-sure")]


def test_without_a_reference_a_classifier_gives_what_needs_none(networks, digits):
    classifier, autoencoder = ({name: networks.given[name]} for name in ("classifier", "autoencoder"))
    alone = evaluate(digits, "strict", networks=Networks(**classifier))
    assert {score.name for score in alone} == {"Domain-IS", "Domain-sure"}
    compared = evaluate(digits, "strict", reference=digits, networks=Networks(**classifier))
    assert {score.name for score in compared} >= {"Domain-IS", "Domain-sure", "Domain-Frechet"}
    for given in (autoencoder, autoencoder | classifier):
        with pytest.raises(ValueError, match=r"FAD.* compares images with others: give a reference"):
            evaluate(digits, "strict", networks=Networks(**given))


def test_a_score_of_another_protocol_is_named_with_it(networks, digits):
    for score, of in (("FD-EffLite0", "offline"), ("FID", "standard and fsvae2022")):
        with pytest.raises(
            ValueError,
            match=rf"{score} is one of protocol {of} \(protocol, --protocol; while training --score-protocol\)",
        ):
            evaluate(digits, "strict", (score,), reference=digits, networks=networks)


def test_few_images_are_told(networks, digits):
    names = "PRC-AE", "DC-AE", "Domain-IS"
    scores = evaluate(digits[:10], "strict", names, reference=digits, networks=networks)
    assert told(scores, "neighbours among 10 images are far") == [s.name for s in scores[:4]]
    assert told(scores, "splits of 1 images for 16 classes: it is biased downwards") == ["Domain-IS"]
    assert told(scores, "the network predicts the same") == []  # of one image to a split nobody knows
    many = digits.repeat(4, 1, 1, 1)
    scores = evaluate(many, "strict", names, reference=many, networks=networks)
    assert told(scores, "neighbours among") == told(scores, "biased downwards") == []


def test_images_compared_with_themselves_are_told(networks):
    itself = "digits test: the images are compared with themselves"
    for images, reference, names in (("digits:test", "digits", ["FAD"]), ("digits:train", "digits", [])):
        assert told(evaluate(images, "strict", ("FAD",), reference=reference, networks=networks), itself) == names


def test_images_of_another_size_than_the_reference_are_told(networks, digits):
    """Networks that resize take both; the images that were enlarged more are softer."""
    resizing = Extractor(
        "mean", "0" * 64, {"latent": 1}, torch.device("cpu"), lambda x: {"latent": x.double().mean((2, 3))}
    )
    given = {"networks": Networks(autoencoder=resizing), "reference": digits}
    for images, names in ((digits[:, :, 2:-2, 2:-2], ["FAD"]), (digits, [])):
        scores = evaluate(images, "strict", ("FAD",), **given)
        assert told(scores, "28 x 28, compared with 32 x 32: these differ in sharpness") == names


def test_a_network_of_another_data_set_is_told(networks, digits):
    other = "the autoencoder of mnist was trained on mnist; the reference is of digits"
    for reference, names in (("digits", ["FAD"]), (digits, [])):
        assert told(evaluate(digits, "strict", ("FAD",), reference=reference, networks=networks), other) == names
    (score,) = evaluate("digits:test", "strict", ("FAD",), reference=digits, networks=networks)
    assert told([score], "the autoencoder of mnist was trained on mnist; the images are of digits") == ["FAD"]
    (score,) = evaluate("digits:test", "strict", ("Domain-sure",), networks=networks)
    assert told([score], "the classifier of mnist was trained on mnist; the images are of digits") == ["Domain-sure"]


def test_mnist_5k_is_a_part_of_mnist(networks, digits):
    """A network of MNIST has seen its images; one of another set has not."""
    source = replace(open_images(digits), data_set="mnist-5k")
    (of_mnist,) = networks.load([STRICT.recipe("Domain-sure")], "cpu")
    for data, names in (("mnist", []), ("fashion-mnist", ["Domain-sure"])):
        network = replace(of_mnist, data=data)
        scores = evaluate(source, "strict", ("Domain-sure",), networks=Networks(classifier=network))
        assert told(scores, "was trained on fashion-mnist; the images are of mnist-5k") == names
