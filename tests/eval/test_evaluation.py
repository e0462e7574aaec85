"""Scoring as a whole: several scores in one pass, KID, precision and recall, references, the random state."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from one_score import make_reference, score, setting
from PIL import Image
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from eval import Networks, evaluate, load_reference, make_references, open_images, write_references
from eval.features import Extractor
from eval.networks.autoencoder import Autoencoder
from eval.protocols import FSVAE2022, STANDARD, STRICT
from eval.randomness import isolated_randomness
from eval.reference import holds_statistics, load_fsvae2022_reference
from eval.sources import IndexedImages
from eval.training import TrainingConfig
from fsvae_tcja.data.load import load_images


def pixel_extractor(calls: list | None = None) -> Extractor:
    """Features are 16 pixels: a network that costs nothing."""

    def features(images):
        if calls is not None:
            calls.append(len(images))
        pixels = images.float().flatten(1)[:, :16] / 255
        return {layer: pixels for layer in ("2048", "logits_unbiased", "fc2_relu", "latent")}

    dims = {"2048": 16, "logits_unbiased": 16, "fc2_relu": 16, "latent": 16}
    return Extractor("pixels", "0" * 64, dims, torch.device("cpu"), features)


def images(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 200 + 20 * seed, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)


@pytest.fixture
def autoencoder_path(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().eval().save(tmp_path / "fad.safetensors")
    return tmp_path / "fad.safetensors"


def test_one_pass_over_images_and_network_for_all_scores():
    calls, drawn = [], []
    extractor = pixel_extractor(calls)
    protocol, networks = setting(extractor, [STANDARD.recipe(name) for name in ("IS", "FID", "KID")])
    references = make_references(images(300, 2), protocol, networks=networks)
    assert calls == [256, 44]
    calls.clear()

    def draw(start, count):
        drawn.append(count)
        return images(300, 1)[start : start + count]

    options = {"reference": references, "networks": networks}
    together = evaluate(draw, protocol, n=300, batch=128, **options)
    assert drawn == calls == [128, 128, 44]
    alone = [evaluate(images(300, 1), protocol, [name], **options)[0].value for name in ("IS", "FID", "KID")]
    assert [s.value for s in together] == pytest.approx(alone, rel=1e-12)


def test_kid_and_precision_recall_are_torch_fidelitys():
    extractor = pixel_extractor()
    x, y = images(200, 1), images(150, 2)
    results = []
    for name in ("KID", "PRC"):
        protocol, networks = setting(extractor, [STANDARD.recipe(name)])
        results += evaluate(x, protocol, reference=y, networks=networks, batch=64)
    a, b = (extractor.features(z)["2048"] for z in (x, y))
    kid = kid_features_to_metric(a, b, kid_subset_size=150, verbose=False)
    prc = prc_features_to_metric(a, b, verbose=False)
    assert {s.name: s.value for s in results} == {
        "KID": kid["kernel_inception_distance_mean"],
        "Precision": prc["precision"],
        "Recall": prc["recall"],
    }
    assert results[0].std == kid["kernel_inception_distance_std"]
    assert results[0].notes == ("KID: subsets of 150 images, there are fewer than 1000",)


def test_scores_of_several_protocols_share_the_drawing_not_the_number():
    """fsvae2022's FAD takes its 5,120 images; what a seeded callable draws is the same for any n."""
    extractor = pixel_extractor()
    recipe = FSVAE2022.recipe("FAD")
    reference = make_reference(images(600, 2), extractor, recipe)
    drawn = []

    def draw(start, count):
        drawn.append((start, count))
        return images(5120, 1)[start : start + count]

    result = score(draw, extractor, recipe, reference)
    assert result.n == 5120 and len(drawn) == 20 and set(count for _, count in drawn) == {256}
    with pytest.raises(ValueError, match=r"fsvae2022 computes in batches of 256, 100 was asked for; leave it out"):
        score(draw, extractor, recipe, reference, batch=100)


def test_standard_takes_50000_of_a_larger_set():
    """Unless the caller says; what is scored is written down."""
    one = images(1, 1).expand(60_000, -1, -1, -1)
    extractor, recipe = pixel_extractor(), STANDARD.recipe("IS")
    cut, whole = (score(one, extractor, recipe, n=n, batch=10_000) for n in (None, 60_000))
    assert (cut.n, whole.n) == (50_000, 60_000)
    permutation = "numpy.random.RandomState(0).permutation(60000)[:50000]"
    assert f"a tensor: 50,000 of 60,000 images, drawn: those at {permutation}" in cut.notes
    assert "drawn" not in " ".join(whole.notes)
    assert score(one[:100], extractor, recipe).n == 100


def test_a_stream_without_a_length_cannot_be_split_blindly():
    with pytest.raises(ValueError, match="IS is split before it is computed: say how many images"):
        score(iter([images(20, 1)]), pixel_extractor(), STANDARD.recipe("IS"))


def test_what_draws_has_to_be_told_how_many_before_anything_is_read():
    def untouched():
        raise AssertionError("the reference is read")
        yield

    with pytest.raises(ValueError, match=r"a generator draws as many images as one likes: say how many to score \(n"):
        score(lambda start, count: images(count, 1), pixel_extractor(), STRICT.recipe("FAD"), untouched())


def test_the_random_state_of_a_training_is_not_touched(autoencoder_path, tmp_path):
    """Networks, references and images are made within; all of them use the global random numbers."""
    networks = Networks(autoencoder=autoencoder_path)

    def draw(start, count):
        shift = (random.random() + np.random.rand()) / 4
        return torch.rand(count, 1, 32, 32) / 2 + shift

    def value(seed):
        scores = evaluate(draw, STRICT, reference=test, networks=networks, n=70, seed=seed, value_range="0..1")
        return scores[0].value

    test = load_images("digits", "test")
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    assert value(5) == value(5) != value(6)  # drawn on a fixed seed
    assert value(None) == value(0)
    write_references(test, STRICT, ("FAD",), tmp_path / "stats", networks=networks)
    make_reference(
        IndexedImages("drawn", 20, lambda start, count: draw(start, count)[..., :8, :8], value_range="0..1"),
        pixel_extractor(),
        STRICT.recipe("FAD"),
    )
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_images_are_of_the_seed_that_is_recorded():
    """Also from a source that was opened on another one, and where no seed was asked for."""

    def draw(start, count):
        return torch.rand(count, 1, 8, 8)

    def scored(what, seed, **options):
        given = {"n": 20, "reference": images(30, 2), "value_range": "0..1", **options}
        return score(what, pixel_extractor(), STRICT.recipe("FAD"), seed=seed, **given)

    opened = open_images(draw, value_range="0..1", seed=5)
    for what, seed, recorded in ((draw, None, 0), (draw, 7, 7), (opened, None, 5), (opened, 7, 7)):
        found = scored(what, seed)
        assert found.seed == recorded and found.value == scored(draw, recorded).value
    repeated = scored(opened, 7, repeats=2)
    assert repeated.value == found.value
    assert repeated.doubt.mean == pytest.approx((found.value + scored(draw, 8).value) / 2)
    assert scored(images(20, 1), None, value_range=None).seed is None


@pytest.mark.parametrize("name", ["FAD", "PRC-AE", "MIND-AE", "DC-AE", "AuthPct-AE", "Domain-IS"])
def test_features_that_are_no_numbers_give_no_score(name):
    """Neighbours would be counted all the same: no distance is smaller than one that is no number."""
    nothing = dataclasses.replace(
        pixel_extractor(),
        dims={"latent": 4, "logits": 4},
        features=lambda x: dict.fromkeys(("latent", "logits"), torch.full((len(x), 4), torch.nan)),
    )
    with pytest.raises(ValueError, match="hold NaN or infinite values: check the images and the extractor's weights"):
        score(images(20, 1), nothing, STRICT.recipe(name), images(20, 2) if name != "Domain-IS" else None)


def test_an_extractor_without_the_layer_is_refused():
    found = "FID-64 takes the layer 64 of the network inception, found an extractor with 2048, logits_unbiased"
    with pytest.raises(ValueError, match=found):
        score(images(20, 1), pixel_extractor(), STANDARD.recipe("FID-64"), images(20, 2))


def test_the_random_state_of_mps_is_put_back(monkeypatch):
    """An Apple GPU by proxy: a number that `torch.manual_seed` sets."""
    state = [17]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: state.__setitem__(0, seed))
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda value: state.__setitem__(0, value))
    with isolated_randomness(5):
        assert state == [5]
    assert state == [17]


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range(seed):
    for fails in (
        lambda: evaluate(images(20, 1), STRICT, seed=seed),
        lambda: TrainingConfig(seed=seed),
    ):
        with pytest.raises(ValueError, match=rf"seed must be in 0..2\^63 - 1, found {seed}$"):
            fails()


def test_scores_of_two_sizes_cannot_be_compared(tmp_path):
    """Whether the pixels were brought to a size here, and from which one, is part of a score and of statistics."""
    extractor, recipe = pixel_extractor(), STANDARD.recipe("IS")
    for side in (8, 16):
        (tmp_path / str(side)).mkdir()
        for i, image in enumerate(torch.nn.functional.interpolate(images(20, 1), side)):
            Image.fromarray(image[0].numpy()).save(tmp_path / str(side) / f"{i}.png")
    opened = [open_images(tmp_path / str(side), size=size) for side, size in ((8, None), (8, 16), (16, 16), (16, None))]
    scores = [score(source, extractor, recipe) for source in opened]
    assert [s.pixels for s in scores] == ["8 x 8", "8 to 16, PIL bilinear", "16 x 16", "16 x 16"]
    assert scores[2] - scores[3] == 0
    for one, other in ((0, 1), (0, 2), (1, 2)):
        named = f"differ in pixels: {scores[one].pixels} and {scores[other].pixels}"
        with pytest.raises(ValueError, match=named):
            scores[one] - scores[other]
    references = [make_reference(source, extractor, STRICT.recipe("FAD")) for source in opened]
    assert [reference.pixels for reference in references] == [s.pixels for s in scores]
    assert len({reference.sha256 for reference in references}) == 3
    compared = [score(images(20, 1), extractor, STRICT.recipe("FAD"), reference) for reference in references]
    assert [s.reference_pixels for s in compared] == [s.pixels for s in scores]
    with pytest.raises(ValueError, match="differ in reference: "):
        compared[0] - compared[1]
    with pytest.raises(ValueError, match="holds images of 16 x 16 and 8 x 8 pixels; bring them to one size"):
        score(
            lambda start, count: torch.zeros(count, 1, 8 + start, 8 + start, dtype=torch.uint8),
            extractor,
            recipe,
            n=16,
            batch=8,
        )


def test_progress_hears_of_every_image():
    heard = []
    recipe, extractor = STRICT.recipe("FAD"), pixel_extractor()
    reference = make_reference(images(64, 2), extractor, recipe)
    score(images(50, 1), extractor, recipe, reference, n=45, batch=20, progress=heard.append)
    assert heard == [20, 20, 5]


def test_stored_references_are_found_used_and_checked(tmp_path, autoencoder_path):
    data = load_images("digits", "test")
    networks = Networks(autoencoder=autoencoder_path)
    (path,) = write_references(data, STRICT, ("FAD",), tmp_path / "stats", networks=networks)
    assert path.name == "strict-FAD.safetensors"
    x = load_images("digits", "train").images[:100]
    values = {
        evaluate(x, STRICT, reference=reference, networks=networks)[0].value
        for reference in (path, tmp_path / "stats", str(tmp_path / "stats"), load_reference(path))
    }
    assert values == {evaluate(x, STRICT, reference=data, networks=networks)[0].value}
    Autoencoder().save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"do not belong to this score \(extractor"):
        evaluate(x, STRICT, reference=path, networks=Networks(autoencoder=tmp_path / "other.safetensors"))


def test_damaged_compressed_statistics(tmp_path, autoencoder_path):
    """Wherever a byte is flipped, there is a ValueError or the right numbers."""
    path, networks = tmp_path / "statistics.npz", Networks(autoencoder=autoencoder_path)
    mu = np.random.RandomState(0).randn(64)
    np.savez_compressed(path, mu=mu, sigma=np.eye(64))
    whole = path.read_bytes()
    extractor, recipe = Autoencoder.load(autoencoder_path).extractor(FSVAE2022.recipe("FAD")), FSVAE2022.recipe("FAD")
    refused = 0
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x5A]) + whole[position + 1 :])
        holds_statistics(path)
        try:
            assert np.array_equal(load_fsvae2022_reference(path, extractor, recipe).statistics.mean, mu)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > len(whole) / 6
    draw = load_images("digits", "train").images.repeat(4, 1, 1, 1)
    path.write_bytes(whole[:100] + bytes(byte ^ 0x5A for byte in whole[100:140]) + whole[140:])
    with pytest.raises(ValueError, match=r"statistics.npz is not an .npz with mu"):
        evaluate(draw, FSVAE2022, reference=path, networks=networks)


def test_a_folder_holds_statistics_if_it_has_those_of_a_protocol(tmp_path):
    (tmp_path / "model-00001.safetensors").touch()
    assert not holds_statistics(tmp_path)
    (tmp_path / "strict-FAD.safetensors").touch()
    assert holds_statistics(tmp_path)


def test_the_split_is_that_of_the_data_set_whatever_it_is_called(tmp_path):
    extractor, recipe = pixel_extractor(), STRICT.recipe("FAD")
    with pytest.raises(ValueError, match="compares with the split test, found digits train"):
        make_reference(open_images("digits:train", name="my numbers"), extractor, recipe)
    reference = make_reference(open_images("digits:test", name="celeba train"), extractor, recipe)
    assert reference.description == "celeba train, 297 images"
    reference.save(tmp_path / "reference.safetensors")
    load_reference(tmp_path / "reference.safetensors").check(extractor, recipe)


def test_published_npz_is_for_its_protocol_only(tmp_path, autoencoder_path):
    np.savez(tmp_path / "published.npz", mu=np.zeros(64, dtype=np.float32), sigma=np.eye(64))
    networks = Networks(autoencoder=autoencoder_path)
    x = load_images("digits", "train").images
    with pytest.raises(ValueError, match="says nothing about how it was made: only protocol fsvae2022"):
        evaluate(x, STRICT, reference=tmp_path / "published.npz", networks=networks)
    draw = x.repeat(4, 1, 1, 1)
    (result,) = evaluate(draw, FSVAE2022, reference=tmp_path / "published.npz", networks=networks)
    assert result.reference_description == "published, an unknown number of images"
    assert result.notes == (
        "published.npz is none of the published statistics and does not say which extractor made it: "
        "that it was this one is unverified",
        "a tensor: 5,120 of 6,000 images, drawn: those at numpy.random.RandomState(0).permutation(6000)[:5120]",
        "the autoencoder untrained is none that the FSVAE authors published: not for a table beside theirs",
    )
    recipe = FSVAE2022.recipe("FAD")
    extractor = Autoencoder.load(autoencoder_path).extractor(recipe)
    load_fsvae2022_reference(tmp_path / "published.npz", extractor, recipe).save(tmp_path / "ours.safetensors")
    (again,) = evaluate(draw, FSVAE2022, reference=tmp_path / "ours.safetensors", networks=networks)
    assert again - result == 0 and again.notes == result.notes  # it is not known how many images there are too few
    for mu, sigma, found in (
        (np.array(["a"] * 64), np.eye(64), "mu of type float16, float32, float64, found <U1"),
        (np.zeros(64), np.eye(64) * 1j, "sigma of type float16, float32, float64, found complex128"),
        (np.zeros(64, np.longdouble), np.eye(64), f"mu of type .*, found {np.dtype(np.longdouble)}"),
    ):
        np.savez(tmp_path / "published.npz", mu=mu, sigma=sigma)
        with pytest.raises(ValueError, match=rf"published.npz is not an .npz with mu .*: expected {found}"):
            evaluate(draw, FSVAE2022, reference=tmp_path / "published.npz", networks=networks)
    np.savez(tmp_path / "published.npz", mu=np.zeros(32), sigma=np.eye(32))
    with pytest.raises(ValueError, match="has 32 features, the autoencoder untrained 64"):
        evaluate(draw, FSVAE2022, reference=tmp_path / "published.npz", networks=networks)


def test_what_is_missing_is_named(autoencoder_path, tmp_path):
    x = images(20, 1)
    networks = Networks(autoencoder=autoencoder_path)
    with pytest.raises(ValueError, match="FAD compares images with others: give a reference"):
        evaluate(x, STRICT, networks=networks)
    with pytest.raises(
        ValueError,
        match=r"FAD looks through the network autoencoder: give its file, .* or mnist .--networks.autoencoder",
    ):
        evaluate(x, STRICT, reference=x)
    with pytest.raises(ValueError, match="KID keeps no statistics"):
        write_references(x, STANDARD, ("KID",), tmp_path)
    with pytest.raises(ValueError, match="batch must be at least 1, found 0"):
        score(x, pixel_extractor(), STANDARD.recipe("IS"), batch=0)
    with pytest.raises(FileNotFoundError, match=r"no statistics for the FAD of protocol strict .*--scores FAD --out"):
        evaluate(x, STRICT, reference=tmp_path / "absent.safetensors", networks=networks)
    (tmp_path / "taken").touch()
    with pytest.raises(ValueError, match=r"cannot write statistics into .*taken: it is a file; give a folder"):
        write_references(x, STRICT, ("FAD",), tmp_path / "taken", networks=networks)
    with pytest.raises(ValueError, match="FAD compares images with others"):
        score(x, pixel_extractor(), STRICT.recipe("FAD"))
    with pytest.raises(ValueError, match="over 10 splits needs at least 10 images, found 9"):
        score(x, pixel_extractor(), STANDARD.recipe("IS"), n=9)


@pytest.mark.parametrize(("name", "least"), [("KID", 2), ("PRC", 4)])
def test_scores_of_pairs_and_neighbours_need_some(name, least):
    extractor, recipe = pixel_extractor(), STANDARD.recipe(name)
    for scored, compared in ((least - 1, 20), (20, least - 1)):
        reference = make_reference(images(compared, 2), extractor, recipe)
        compares = f" and {compared} to compare with" if compared < least else ""
        message = f"{name} needs at least {least} images on either side, found {scored} to score{compares}"
        with pytest.raises(ValueError, match=message):
            score(images(scored, 1), extractor, recipe, reference)


def test_a_reference_of_another_kind_is_refused(tmp_path, autoencoder_path):
    """FID and KID look at the same features, one at their moments, the other at each of them."""
    extractor, x = pixel_extractor(), images(40, 1)
    fid, kid = (STANDARD.recipe(name) for name in ("FID", "KID"))
    for made, used in ((fid, kid), (kid, fid)):
        with pytest.raises(ValueError, match=f"{used.score} cannot be computed from a reference made for another kind"):
            score(x, extractor, used, make_reference(x, extractor, made))


def test_another_split_is_refused_before_the_work():
    calls = []
    with pytest.raises(ValueError, match="FAD under protocol strict compares with the split test, found digits train"):
        make_reference("digits:train", pixel_extractor(calls), STRICT.recipe("FAD"))
    assert calls == []


def test_a_callable_on_either_side(autoencoder_path):
    """As a reference it draws as many as are scored, from another seed than the scored images have."""
    drawn = []

    def draw(start, count):
        drawn.append((start, count))
        return torch.rand(count, 1, 32, 32)

    def against_draws(images, n=None):
        options = {"reference_range": "0..1", "networks": Networks(autoencoder=autoencoder_path)}
        value_range = "0..1" if images is draw else None
        return evaluate(images, STRICT, reference=draw, n=n, value_range=value_range, **options)[0]

    digits = load_images("digits", "train").images[:100]
    far, near = against_draws(digits), against_draws(draw, 100)
    assert drawn == 3 * [(0, 100)]
    assert far.n == near.n == 100
    assert far.reference == near.reference and far.reference_description == "a generator, 100 images"
    assert 1e-3 * far.value < near.value < 0.5 * far.value  # two samples of one distribution
    with pytest.raises(ValueError, match="a generator draws as many images as one likes: say how many to score"):
        against_draws(draw)


@pytest.mark.parametrize("noise", [0.0, 1e-9])
@pytest.mark.parametrize("side", ["scored", "reference"])
def test_a_collapsed_generator_gets_a_note(noise, side):
    """|mu_a - mu_b|^2 + tr(S_b) is left of the distance if one side is one point."""
    many, recipe = images(200, 1), STRICT.recipe("FAD")
    one = (many[:1] / 127.5 - 1).expand(200, -1, -1, -1) * (1 - noise * torch.rand(200, 1, 1, 1, dtype=torch.float64))

    def features(x):
        return {"latent": (x / 127.5 - 1 if x.dtype == torch.uint8 else x).double().flatten(1)[:, :16]}

    extractor = Extractor("pixels", "0" * 64, {"latent": 16}, torch.device("cpu"), features)
    scored, compared = (one, many) if side == "scored" else (many, one)
    reference = make_reference(compared, extractor, recipe, value_range="-1..1" if compared is one else None)
    result = score(scored, extractor, recipe, reference, value_range="-1..1" if scored is one else None)
    x, y = (features(z)["latent"] for z in (many, one))
    expected = (x.mean(0) - y.mean(0)).square().sum() + x.var(0).sum()
    assert result.value == pytest.approx(expected.item(), rel=1e-7)
    (note,) = result.notes
    assert f"FAD: the {side} images are all but equal in these features (variance" in note


def test_equal_predictions_get_a_note():
    extractor = pixel_extractor()
    result = score(images(1, 1).expand(40, -1, -1, -1), extractor, STANDARD.recipe("IS"))
    assert result.value == pytest.approx(1.0, abs=1e-12)
    assert result.notes == (
        "IS: the network predicts the same of every image: they are all but equal, or nothing that it knows",
    )
    assert score(images(640, 1), extractor, STANDARD.recipe("IS")).notes == ()


def test_reference_hash_knows_the_images_not_the_batches():
    extractor, recipe = pixel_extractor(), STRICT.recipe("FAD")
    x = images(64, 1)
    one, two, other = (
        make_reference(
            IndexedImages("x", len(x), lambda start, count, y=y: y[start : start + count]), extractor, recipe
        )
        for y in (x, x.clone(), x.flip(0))
    )
    assert one.sha256 == two.sha256 != other.sha256
    streamed = make_reference(list(x.split(5)), extractor, recipe)
    assert streamed.key["data"]["sha256"] == one.key["data"]["sha256"]
    assert streamed.pixels == one.pixels == "8 x 8"
    assert streamed.key["data"]["name"] != one.key["data"]["name"]
    assert streamed.sha256 == one.sha256  # a name is no part of it


def test_reference_hash_knows_everything_that_went_in():
    extractor, recipe, x = pixel_extractor(), STRICT.recipe("FAD"), images(64, 1)
    other = dataclasses.replace(extractor, sha256="1" * 64)
    references = [make_reference(x, extractor, recipe), make_reference(x, extractor, recipe, n=63)]
    references += [make_reference(x, other, recipe)]
    references += [make_reference(x / 127.5 - 1, extractor, recipe, value_range="-1..1")]
    changes = {"layer": "2048", "quantise": False, "grey": "repeated to RGB", "resize": "x", "batch_norm": "batch"}
    changes |= {"precision": "float32", "batch": 32, "input_range": "0..1", "extractor": "classifier"}
    for name, value in changes.items():
        references.append(make_reference(x, extractor, dataclasses.replace(recipe, **{name: value})))
        with pytest.raises(ValueError, match=rf"do not belong to this score \(extraction.{name}: {value} there"):
            references[-1].check(extractor, recipe)
    assert len({reference.sha256 for reference in references}) == len(references)
