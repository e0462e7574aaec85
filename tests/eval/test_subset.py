"""A prefix is never taken for a sample: which images of a larger set are scored, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from one_score import make_reference, score
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from eval import Networks, evaluate, load_reference
from eval.cli import main
from eval.features import Extractor
from eval.protocols import FSVAE2022, STANDARD, STRICT
from eval.result import load_scores
from fsvae_tcja.data.load import load_images

N, CLASSES, n = 200, 10, 60
LABELS = torch.arange(N) * CLASSES // N  # one class after the other
DRAWN = torch.from_numpy(np.random.RandomState(0).permutation(N)[:n])
FAD = STRICT.recipe("FAD")
SMALL_FSVAE2022 = replace(FSVAE2022.recipe("FAD"), n=n, batch=20)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """uint8 [N, 1, 8, 8], the brighter the later the class."""
    noise = torch.randint(0, 40, (N, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return noise + (LABELS * 20).to(torch.uint8)[:, None, None, None]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    """Features are four pixels: a network that costs nothing."""

    def features(images):
        rows = images.double().flatten(1)[:, :4]
        return {"latent": rows, "logits_unbiased": rows, "2048": rows}

    return Extractor(
        "pixels", "0" * 64, dict.fromkeys(("latent", "logits_unbiased", "2048"), 4), torch.device("cpu"), features
    )


@pytest.fixture(scope="module")
def sources(images, tmp_path_factory):
    """The same images, sorted by class, in everything whose length is known."""
    folder = tmp_path_factory.mktemp("sources")
    for i, image in enumerate(images):
        path = folder / "classes" / str(int(LABELS[i])) / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    np.save(folder / "images.npy", images.numpy())
    np.savez(folder / "images.npz", images=images.numpy(), labels=LABELS.numpy())
    pairs = TensorDataset(images, LABELS)
    return {
        "tensor": images,
        "array": images.numpy(),
        "npy": folder / "images.npy",
        "npz": folder / "images.npz",
        "folder": folder / "classes",
        "pair": (images, LABELS),
        "list": list(images.split(7)),
        "data set": pairs,
        "loader": DataLoader(pairs, batch_size=7),
        "loader in workers": DataLoader(pairs, batch_size=50, num_workers=1),
        "shuffled loader": DataLoader(pairs, batch_size=7, shuffle=True),
    }


def test_every_source_whose_length_is_known_is_drawn_from(images, extractor, sources):
    expected = score(images[DRAWN], extractor, FAD, images).value
    assert score(images[:n], extractor, FAD, images).value > 100 * expected  # a prefix holds three classes of ten
    for kind, source in sources.items():
        one = score(source, extractor, FAD, images, n=n)
        assert one.value == pytest.approx(expected, rel=1e-9), kind
        rule = "60 of 200 images, drawn: those at numpy.random.RandomState(0).permutation(200)[:60]"
        assert [note for note in one.notes if note.endswith(rule)], kind
        assert not [note for note in score(source, extractor, FAD, images).notes if "drawn" in note], kind


def test_a_reference_is_drawn_from_as_well(images, extractor, tmp_path):
    drawn, given = (make_reference(x, extractor, FAD, n=k) for x, k in ((images, n), (images[DRAWN], None)))
    assert drawn.sha256 == given.sha256 and "drawn: those at" in drawn.notes[0]
    drawn.save(tmp_path / "reference.safetensors")
    assert load_reference(tmp_path / "reference.safetensors").notes == drawn.notes  # told wherever it is used


def test_a_score_does_not_depend_on_the_others(images, extractor):
    """One takes all 200 images as they come, the other 60 that are drawn."""
    is_, fid = replace(STANDARD.recipe("IS"), n=n), STANDARD.recipe("FID")
    together = replace(STANDARD, recipes=(is_, fid), default=("IS", "FID"))
    options = {"reference": images.flip(0)[:150], "networks": Networks(inception=extractor)}
    both = evaluate(images, together, **options)
    alone = [evaluate(images, together, (name,), **options)[0] for name in ("IS", "FID")]
    assert [(s.n, s.value) for s in both] == [(s.n, s.value) for s in alone]
    assert [s.n for s in both] == [n, N]


def test_of_a_stream_the_first_are_taken_and_that_is_said(images, extractor):
    streamed = score(iter(images.split(7)), extractor, FAD, images, n=n)
    assert streamed.value == pytest.approx(score(images[:n], extractor, FAD, images).value)
    assert "a stream: the first 60 images of a stream, which cannot be drawn from" in streamed.notes
    assert not [s for s in score(iter(images.split(7)), extractor, FAD, images).notes if "stream" in s]


def test_an_order_by_class_is_noted_where_the_score_depends_on_it(images, extractor, sources):
    told = "comes one class after the other, and FAD depends on the order (statistics of batches of 20): shuffle it"
    whole = replace(SMALL_FSVAE2022, n=None)
    for kind in ("npz", "folder", "pair"):
        notes = {
            side: score(sources[kind] if side == "scored" else images, extractor, whole, sources[kind]).notes
            for side in ("scored", "reference")
        }
        assert [note for note in notes["scored"] if told in note] and [
            note for note in notes["reference"] if told in note
        ]
        assert not [s for s in score(sources[kind], extractor, SMALL_FSVAE2022, images).notes if told in s]  # drawn
        assert not [s for s in score(sources[kind], extractor, FAD, images).notes if told in s]  # any order will do
    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    assert not [s for s in score((images[shuffled], LABELS[shuffled]), extractor, whole, images).notes if told in s]


def test_of_a_data_set_by_name_fsvae2022_takes_the_first_in_published_order():
    """The rule that its known floors were measured by; any other source is drawn from."""
    digits = load_images("digits", "test", size=8)
    protocol = replace(FSVAE2022, recipes=(SMALL_FSVAE2022,))
    extractor = Extractor(
        "pixels", "0" * 64, {"latent": 4}, torch.device("cpu"), lambda x: {"latent": x.double().flatten(1)[:, 10:14]}
    )
    options = {"reference": digits.images[:150], "networks": Networks(autoencoder=extractor)}
    named, first, other = (
        evaluate(x, protocol, ("FAD",), **options)[0] for x in (digits, digits.images[:n], digits.images)
    )
    assert named.value == first.value != other.value
    assert "digits test: the first 60 of 297 images in published order, as protocol fsvae2022 has it" in named.notes
    assert [note for note in other.notes if "drawn: those at" in note]


@pytest.fixture(scope="module")
def mnist(real_data, tmp_path_factory):
    """The first 1,000 test digits in class folders; 600 of them in train/ and test/; in arrays."""
    folder, test = tmp_path_factory.mktemp("mnist"), load_images("mnist", "test", root=real_data)
    for i, image in enumerate(test.images[:1000]):
        places = [f"classes/{test.labels[i]}/{i:04d}.png"]
        places += [f"splits/test/{test.labels[i]}/{i:04d}.png"] if 300 <= i < 600 else []
        places += [f"splits/train/{test.labels[i]}/{i:04d}.png"] if 600 <= i < 900 else []
        for place in places:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(folder / place)
    np.save(folder / "images.npy", test.images[:300].numpy())
    np.save(folder / "binary.npy", (test.images[:300] > 127).to(torch.uint8).numpy())
    return folder


def cli(real_data, mnist, images, *options):
    network = ["--networks.autoencoder", str(real_data / "fad-2022" / "mnist_64.pth"), "--device", "cpu"]
    out = mnist / "scores.json"
    out.unlink(missing_ok=True)
    assert main(["score", str(mnist / images), *network, "--out", str(out), *map(str, options)]) == 0
    return load_scores(out)[0]


def test_right_values_of_real_digits(real_data, mnist):
    """The first 300 test digits against the next 300, strict FAD: 30.767."""
    whole, test = (
        cli(real_data, mnist, "images.npy", "--reference", f"{mnist}/splits{split}") for split in ("", ":test")
    )
    assert whole.value == test.value == pytest.approx(30.766673, abs=1e-5)
    assert whole.reference_description == "splits test, 300 images" and whole - test == 0
    train = cli(real_data, mnist, "images.npy", "--reference", f"{mnist}/splits:train")
    assert train.value != test.value
    assert "the reference is the split train; protocol strict compares with test" in train.notes
    binary = "binary.npy", "--reference", f"{mnist}/splits"
    right, black = (cli(real_data, mnist, *binary, *options) for options in (("--value-range", "0..1"), ()))
    assert right.value == pytest.approx(118.3137, abs=1e-3) and right.value_range == "0..1"
    assert black.value == pytest.approx(563.407, abs=1e-2)
    assert "binary.npy: the highest 8-bit pixel is 1 of 255, all but black" in black.notes[0]
    reference = f"{mnist}/classes"
    drawn = cli(real_data, mnist, "classes", "--reference", reference, "--n-images", "300")
    assert drawn.value < 25  # the first 300 in the order of the folder are zeros, ones and twos: above 200
