"""Domain scores: a classifier of the digits, and what it says of digits, noise and a collapsed generator."""

import dataclasses

import pytest
import torch
from one_score import score

from eval import Networks, evaluate
from eval.networks.classifier import CLASSIFIER_TRAINING, Classifier, train_classifier
from eval.protocols import STRICT
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.data.load import load_images


@pytest.fixture(scope="module")
def digits():
    return load_images("digits", "train"), load_images("digits", "test")


@pytest.fixture(scope="module")
def classifier(digits) -> Classifier:
    return train_classifier(
        digits[0], dataclasses.replace(CLASSIFIER_TRAINING, epochs=4, batch_size=32), test=digits[1]
    )


def domain_scores(images, classifier, reference, tmp_path) -> list:
    classifier.save(tmp_path / "classifier.safetensors")
    return evaluate(
        images,
        STRICT,
        ("Domain-IS", "Domain-Frechet", "Domain-sure"),
        reference=reference,
        networks=Networks(classifier=tmp_path / "classifier.safetensors"),
    )


def test_the_classifier_learns_and_is_saved_with_its_metadata(classifier, tmp_path):
    assert classifier.provenance["test_accuracy"] > 0.95
    assert classifier.provenance["data"] == "digits"
    classifier.save(tmp_path / "classifier.safetensors")
    again = Classifier.load(tmp_path / "classifier.safetensors")
    assert again.sha256 == classifier.sha256 and again.provenance == classifier.provenance


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 64)])
def test_sizes_come_from_the_file(channels, size, tmp_path):
    Classifier(channels, size, 7, 16).save(tmp_path / "classifier.safetensors")
    again = Classifier.load(tmp_path / "classifier.safetensors")
    assert (again.channels, again.size, again.classes, again.latent) == (channels, size, 7, 16)
    assert again(torch.zeros(2, channels, size, size)).shape == (2, 7)


def test_digits_score_better_than_noise_and_collapse(digits, classifier, tmp_path):
    train, test = digits
    noise = torch.randint(0, 256, test.images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    collapsed = train.images[:1].expand(200, -1, -1, -1)
    good, bad, same = (domain_scores(x, classifier, test, tmp_path) for x in (train.images, noise, collapsed))
    assert good[0].value > 8  # of 10 classes
    assert same[0].value == pytest.approx(1.0, abs=1e-9)
    assert bad[0].value < 0.5 * good[0].value
    assert 10 * good[1].value < min(bad[1].value, same[1].value)
    assert good[2].value > 0.9 > 0.5 > bad[2].value
    assert same[2].value in (0.0, 1.0)  # one image is all of them
    assert [s.name for s in good] == ["Domain-IS", "Domain-Frechet", "Domain-sure"]
    assert all("classifier of digits" in s.extractor_description for s in good)


def test_any_batch_size(digits, classifier):
    recipe = STRICT.recipe("Domain-IS")
    values = [score(digits[1], classifier, recipe, batch=batch).value for batch in (297, 64, 5)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-12)


def test_bad_input(digits, classifier, tmp_path):
    unlabelled = MemoryImages("clouds", "train", torch.zeros(4, 1, 32, 32, dtype=torch.uint8), torch.zeros(4), None)
    with pytest.raises(ValueError, match="clouds has no labels: a classifier needs a data set with classes"):
        train_classifier(unlabelled)
    torn = MemoryImages("torn", "test", digits[1].images[:4], torch.tensor([0, 1, -1, 0]), 10)
    for train, test in ((torn, None), (digits[0], torn)):
        with pytest.raises(ValueError, match="1 of 4 images of torn, test, have no label"):
            train_classifier(train, test=test)
    with pytest.raises(ValueError, match="1 or 3 channels of 32 or 64 pixels, found 2 of 32"):
        Classifier(2, 32)
    with pytest.raises(FileNotFoundError, match=r"no classifier .*train-classifier"):
        Classifier.load(tmp_path / "absent.safetensors")
    with pytest.raises(
        ValueError,
        match=r"through the network classifier: give its file, .* .--networks.classifier; while training --cl",
    ):
        evaluate(digits[1], STRICT, ("Domain-IS",))
    with pytest.raises(ValueError, match="protocol strict compares with the split test, found digits train"):
        domain_scores(digits[1], classifier, digits[0], tmp_path)
