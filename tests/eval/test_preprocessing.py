"""The names in a recipe are what runs: another name gives other pixels, or is refused."""

from dataclasses import replace

import pytest
import torch
from one_score import score

from eval.measures.inception_score import SPLIT_ORDER
from eval.networks.autoencoder import Autoencoder
from eval.networks.classifier import Classifier
from eval.preprocessing import BATCH_NORM, GREY, INPUT_RANGE, PRECISION, QUANTISE, RESIZE, bilinear, preprocessing
from eval.protocols import FSVAE2022, PROTOCOLS, STANDARD, STRICT

FID, FAD = FSVAE2022.recipe("FID"), STRICT.recipe("FAD")


def floats(n: int, seed: int, size: int = 32, channels: int = 1) -> torch.Tensor:
    """In -1..1, between the levels of 8 bits."""
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 1.9 - 0.95


@pytest.mark.parametrize(("field", "table"), [("resize", RESIZE), ("input_range", INPUT_RANGE), ("quantise", QUANTISE)])
def test_every_name_gives_other_pixels(field, table):
    images = floats(2, 0, 20, 3)
    found = [preprocessing(replace(FID, **{field: name}), 3, None)(images) for name in table]
    for i, one in enumerate(found):
        assert one.isfinite().all()
        assert not any(one.shape == other.shape and torch.equal(one, other) for other in found[:i])


def test_ranges_are_what_their_names_say():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    seen = {name: preprocessing(replace(FID, input_range=name, resize="none"), 3, None)(levels) for name in INPUT_RANGE}
    limits = {name: (x.min().item(), x.max().item()) for name, x in seen.items()}
    assert limits["-1..1"] == (-1, 1) and limits["0..255, not normalised"] == (0, 255)
    assert limits["0..255, then (x - 128) / 128"] == (-1, 127 / 128)
    expected = (levels[0, 0, 3, 4] / 255 - 0.406) / 0.225
    assert seen["ImageNet mean 0, deviation 1"][0, 2, 3, 4].item() == pytest.approx(expected.item(), rel=1e-6)


def test_grey_is_repeated_or_left():
    grey = floats(2, 0, 8)
    as_it_is, repeated = (
        [preprocessing(replace(FAD, grey=name), channels, 8) for channels in (1, 3)]
        for name in ("as it is", "repeated to RGB")
    )
    assert len(GREY) == 2
    assert torch.equal(as_it_is[0](grey), as_it_is[0](grey.expand(-1, 3, -1, -1)))  # three equal channels are grey
    assert torch.equal(repeated[1](grey), as_it_is[1](grey.expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="takes 3-channel images, found 1"):
        as_it_is[1](grey)
    with pytest.raises(ValueError, match="takes 1-channel images, found 3"):
        repeated[0](grey)


@pytest.fixture(scope="module")
def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {"autoencoder": Autoencoder().eval(), "classifier": Classifier().eval()}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("FAD", {"quantise": False}),
        ("FAD", {"input_range": "0..255, not normalised"}),
        ("FAD", {"batch_norm": "batch"}),
        ("FAD", {"precision": "float32"}),
        ("Domain-IS", {"split_order": "in order"}),
        ("Domain-IS", {"splits": 5}),
    ],
)
def test_another_name_is_another_score(networks, name, changes):
    recipe = STRICT.recipe(name)
    options = {"value_range": "-1..1"} | ({"reference_range": "-1..1"} if recipe.compares else {})
    reference = floats(90, 2) if recipe.compares else None
    one, other = (
        score(floats(100, 1), networks[r.extractor], r, reference, **options)
        for r in (recipe, replace(recipe, **changes))
    )
    assert one.value != other.value
    (changed,) = changes
    with pytest.raises(ValueError, match=rf"cannot be compared; they differ in .*recipe.{changed}: "):
        one - other


def test_a_resize_of_ones_own(networks, monkeypatch):
    small = (floats(80, 1, 28) + 1) * 127.5
    small, other = small.to(torch.uint8), small.flip(0).mul(0.8).to(torch.uint8)
    with pytest.raises(ValueError, match="takes 32 x 32 images, found 28 x 28"):
        score(small, networks["autoencoder"], FAD, other)
    monkeypatch.setitem(RESIZE, "bilinear to 32", bilinear(32))
    assert score(small, networks["autoencoder"], replace(FAD, resize="bilinear to 32"), other).value > 0


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("resize", r"unknown resize 'x': choose one of \['none', 'TensorFlow 1"),
        ("input_range", r"unknown input range 'x': choose one of \['-1\.\.1', '0\.\.255"),
        ("grey", "unknown treatment of grey images 'x'"),
        ("batch_norm", r"unknown batch norm 'x': choose one of \['running', 'batch'"),
        ("precision", r"unknown precision 'x': choose one of \['float32', 'float64'"),
        ("measure", r"unknown measure 'x': choose one of \['frechet', "),
        ("extractor", r"unknown network 'x': choose one of \['autoencoder', "),
    ],
)
def test_unknown_names_are_refused(networks, field, found):
    recipe = replace(FAD, **{field: "x"})
    given = {"autoencoder": networks["autoencoder"]}
    from eval import Networks, Protocol, evaluate

    protocol = Protocol("mine", "", ("FAD",), (recipe,))
    with pytest.raises(ValueError, match=found.replace("(", r"\(")):
        evaluate(
            floats(80, 1),
            protocol,
            ("FAD",),
            reference=floats(80, 2),
            networks=Networks(**given),
            value_range="-1..1",
            reference_range="-1..1",
        )


def test_the_protocols_name_what_is_in_the_tables():
    for protocol in PROTOCOLS.values():
        for recipe in protocol.recipes:
            assert recipe.resize in RESIZE and recipe.input_range in INPUT_RANGE and recipe.grey in GREY
            assert recipe.batch_norm in BATCH_NORM and recipe.precision in PRECISION
            assert recipe.split_order in {None, *SPLIT_ORDER}
    assert STANDARD.recipe("FID-64").layer == "64"
