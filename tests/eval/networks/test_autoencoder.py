"""The autoencoder and its score on small made-up images; the published figures on the real ones."""

import copy
import dataclasses
from importlib.metadata import version

import pytest
import torch
from one_score import make_reference, score
from safetensors.torch import load_file, save_file

from eval import Networks, evaluate, load_reference
from eval.measures.frechet import frechet_distance
from eval.networks.autoencoder import (
    DIGITS_TRAINING,
    Autoencoder,
    TrainingConfig,
    reconstruction_mse,
    train_autoencoder,
)
from eval.precision import full_precision
from eval.protocols import FSVAE2022, STRICT
from eval.provenance import json_sha256, library_versions, tensors_sha256
from eval.reference import load_fsvae2022_reference
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.data.load import load_images
from fsvae_tcja.data.workers import batches
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.run import RunFolder
from tests.conftest import long

STRICT_FAD, FSVAE2022_FAD = STRICT.recipe("FAD"), FSVAE2022.recipe("FAD")
SMALL_FSVAE2022 = dataclasses.replace(
    FSVAE2022, recipes=(dataclasses.replace(FSVAE2022_FAD, n=None, batch=32),)
)  # the same arithmetic on fewer images


def score_fad(images, autoencoder, reference, protocol=STRICT, **options):
    """Floating point images are in -1..1 on either side."""
    for name, side in (("value_range", images), ("reference_range", reference)):
        first = side[0] if isinstance(side, (tuple, list)) and side else side
        if isinstance(first, torch.Tensor) and first.is_floating_point():
            options[name] = "-1..1"
    networks = Networks(autoencoder=autoencoder)
    return evaluate(images, protocol, ("FAD",), reference=reference, networks=networks, **options)[0]


def blobs(n: int, seed: int, channels: int = 1) -> torch.Tensor:
    """uint8 [n, channels, 32, 32]: a bright square at a random place on noise."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 64, (n, channels, 32, 32), generator=generator, dtype=torch.uint8)
    for image, (y, x) in zip(images, torch.randint(0, 24, (n, 2), generator=generator).tolist(), strict=True):
        image[:, y : y + 8, x : x + 8] = 230
    return images


@pytest.fixture(scope="module")
def data() -> MemoryImages:
    return MemoryImages("blobs", "train", blobs(100, 0), torch.zeros(100, dtype=torch.int64), None)


@pytest.fixture(scope="module")
def autoencoder(data) -> Autoencoder:
    return train_autoencoder(data, TrainingConfig(epochs=2, batch_size=25))


@pytest.mark.parametrize(("channels", "size", "latent"), [(1, 32, 64), (3, 32, 128), (1, 64, 64), (3, 64, 128)])
def test_shapes(channels, size, latent):
    autoencoder = Autoencoder(channels, size)
    images = torch.rand(2, channels, size, size) * 2 - 1
    assert autoencoder.encode(images).shape == (2, latent)
    reconstruction = autoencoder(images)
    assert reconstruction.shape == images.shape and reconstruction.abs().max() <= 1


def test_sizes_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels of 32 or 64 pixels, found 1 of 28"):
        Autoencoder(1, 28)


def test_training_learns_and_depends_on_the_seed_alone(data, autoencoder, tmp_path):
    state = torch.get_rng_state()
    config = TrainingConfig(epochs=2, batch_size=25)
    again = train_autoencoder(data, config, test=data, run=tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), state)
    assert again.sha256 == autoencoder.sha256
    assert train_autoencoder(data, dataclasses.replace(config, seed=1)).sha256 != again.sha256
    first, second = [row["loss"] for row in RunFolder(tmp_path / "run", resume=True).read_metrics() if "loss" in row]
    assert second < first
    assert again.provenance["test_mse"] == pytest.approx(reconstruction_mse(again, data))
    assert again.provenance["data"] == "blobs" and again.provenance["images"] == 100


def test_a_network_knows_what_it_was_trained_on(data, autoencoder):
    """The images by the hash that they have as a reference."""
    found = autoencoder.provenance
    assert (found["size"], found["channels"], found["images"]) == (32, 1, 100)
    reference = make_reference(data, autoencoder, STRICT_FAD)
    assert found["images_sha256"] == reference.key["data"]["sha256"]
    assert found["versions"] == library_versions()


@pytest.mark.parametrize("field", ["epochs", "batch_size", "lr", "latent"])
def test_training_configuration_is_checked(field):
    with pytest.raises(ValueError, match=f"{field} must be"):
        TrainingConfig(**{field: 0})


def test_saved_autoencoder_comes_back(autoencoder, tmp_path):
    autoencoder.save(tmp_path / "fad.safetensors")
    again = Autoencoder.load(tmp_path / "fad.safetensors")
    assert again.sha256 == autoencoder.sha256 and again.provenance == autoencoder.provenance
    assert not again.training


def test_authors_format_is_read_with_its_sizes(tmp_path):
    autoencoder = Autoencoder(3, 64, 128)
    torch.save(autoencoder.state_dict(), tmp_path / "authors.pth")
    again = Autoencoder.load(tmp_path / "authors.pth")
    assert (again.channels, again.size, again.latent) == (3, 64, 128)
    assert again.sha256 == autoencoder.sha256


@pytest.mark.parametrize("name", ["mine.pth", "mine.pt", "mine.ckpt", "mine.pth.tar"])
def test_state_dicts_of_other_programs(autoencoder, tmp_path, name):
    """Inside a checkpoint, with the prefixes of DataParallel and torch.compile; what is not plain is named."""
    state = autoencoder.state_dict()
    prefixed = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    for content in (prefixed, {"state_dict": prefixed, "epoch": 3}, {"model": state}, {"model_state_dict": state}):
        torch.save(content, tmp_path / name)
        assert Autoencoder.load(tmp_path / name).sha256 == autoencoder.sha256
    for content, found in (
        ({"net": state, "epoch": 3}, "'net': a "),
        (
            {f"net.{name}": tensor for name, tensor in state.items()},
            r"but net.encoder.0.0.weight, .*no 'encoder.0.0.weight'",
        ),
        ([1, 2], "found a list"),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=found):
            Autoencoder.load(tmp_path / name)


def test_weights_that_are_not_finite_are_neither_written_nor_taken(data, autoencoder, tmp_path):
    diverged = copy.deepcopy(autoencoder)
    diverged.latent_layer.weight.data[0, 0] = float("nan")
    message = r"its weights hold NaN or infinite values \(latent_layer.weight\): its training diverged"
    with pytest.raises(ValueError, match=f"is not written, the autoencoder of blobs is of no use: {message}"):
        diverged.save(tmp_path / "fad.safetensors")
    assert not list(tmp_path.iterdir())
    torch.save(diverged.state_dict(), tmp_path / "fad.pth")
    for network in (diverged, tmp_path / "fad.pth"):
        with pytest.raises(ValueError, match=message):
            score_fad(data.images, network, data.images)


def test_an_unknown_file_is_taken_with_a_note(data, autoencoder, tmp_path):
    torch.save(autoencoder.state_dict(), tmp_path / "mine.pth")
    unknown = Autoencoder.load(tmp_path / "mine.pth")
    strict = score_fad(data.images, unknown, data.images)
    assert strict.extractor_description == "autoencoder mine.pth" and strict.extractor == autoencoder.sha256
    assert strict.notes == ("mine.pth is no published autoencoder, and does not say what it was trained on",)
    published = score_fad(data.images, autoencoder, data.images, SMALL_FSVAE2022)
    note = "the autoencoder of blobs is none that the FSVAE authors published: not for a table beside theirs"
    assert note in published.notes


def test_bad_files(autoencoder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no autoencoder .*absent.pth"):
        Autoencoder.load(tmp_path / "absent.pth")
    whole = tmp_path / "whole.safetensors"
    autoencoder.save(whole)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match="truncated"):
        Autoencoder.load(tmp_path / "cut.safetensors")
    (tmp_path / "cut.pth").write_bytes(b"PK\3\4 nothing more")
    with pytest.raises(ValueError, match="truncated, or no plain PyTorch state dict"):
        Autoencoder.load(tmp_path / "cut.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no weights of the autoencoder"):
        Autoencoder.load(tmp_path / "other.pth")
    torch.save(autoencoder, tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match="no plain PyTorch state dict"):
        Autoencoder.load(tmp_path / "pickled.pth")


def test_altered_weights_are_refused(autoencoder, tmp_path):
    path = tmp_path / "fad.safetensors"
    autoencoder.save(path)
    tensors, metadata = checkpoint.read(path)
    next(iter(tensors.values())).view(-1)[0] += 1
    checkpoint.write(path, tensors, metadata)
    with pytest.raises(ValueError, match="altered after they were saved"):
        Autoencoder.load(path)


def test_strict_score_of_the_reference_itself_is_zero(data, autoencoder):
    result = score_fad(data.images, autoencoder, data.images)
    assert 0 <= result.value < 1e-9
    assert (result.name, result.protocol, result.n) == ("FAD", "strict", 100)


def test_strict_score_is_a_straight_float64_computation(data, autoencoder):
    result = score_fad(blobs(90, 1), autoencoder, data.images)
    network = copy.deepcopy(autoencoder).double()
    with torch.no_grad():
        a, b = (network.encode(x.double() / 127.5 - 1) for x in (blobs(90, 1), data.images))
    s1, s2 = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(s2)
    root = vectors * values.sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ s1 @ root).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + s1.trace() + s2.trace() - 2 * overlap
    assert result.value == pytest.approx(expected.item(), rel=1e-9)


def test_autocast_and_fast_products_stay_outside(data, autoencoder):
    """bfloat16 around the scoring changes no number; the switches are put back."""
    scores = [score_fad(data.images, autoencoder, data.images.flip(2), SMALL_FSVAE2022).value]
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision(), convolutions.fp32_precision
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            scores.append(score_fad(data.images, autoencoder, data.images.flip(2), SMALL_FSVAE2022).value)
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "medium"
        with full_precision(torch.device("cpu")):
            assert products.fp32_precision == convolutions.fp32_precision == "ieee"
    finally:
        torch.set_float32_matmul_precision(before[0])
    assert convolutions.fp32_precision == before[1]
    assert scores[0] == scores[1]


def test_strict_score_knows_no_batch_size(data, autoencoder):
    reference = make_reference(data, autoencoder, STRICT_FAD)
    images = blobs(90, 1)
    scores = [score_fad(images.split(batch), autoencoder, reference, STRICT, n=80).value for batch in (90, 64, 7, 1)]
    assert scores == pytest.approx([scores[0]] * 4, rel=1e-12)
    # other batches inside the extractor as well
    inside = [score(images, autoencoder, STRICT_FAD, reference, n=80, batch=batch).value for batch in (1, 7, 64)]
    assert inside == pytest.approx([scores[0]] * 3, rel=1e-12)


def test_strict_score_is_the_same_from_float_and_from_8_bits(data, autoencoder):
    images = blobs(90, 1)
    assert (
        score_fad(images, autoencoder, data.images).value
        == score_fad(images / 127.5 - 1, autoencoder, data.images).value
    )


def test_fsvae2022_score_depends_on_the_batches(data, autoencoder):
    """Batch statistics: another grouping of the same images is another score."""
    halves = dataclasses.replace(SMALL_FSVAE2022, recipes=(dataclasses.replace(SMALL_FSVAE2022.recipes[0], batch=16),))
    images = blobs(96, 1)
    one, two = (score_fad(images, autoencoder, data.images, protocol).value for protocol in (SMALL_FSVAE2022, halves))
    assert abs(one - two) > 1e-3 * one
    assert score_fad(images.split(7), autoencoder, data.images, SMALL_FSVAE2022).value == one  # regrouped


def test_grey_images_saved_as_rgb(data, autoencoder):
    grey = blobs(90, 1)
    one, two = (score_fad(x, autoencoder, data.images).value for x in (grey, grey.expand(-1, 3, -1, -1)))
    assert one == two


def test_score_does_not_depend_on_the_memory_layout(data, autoencoder):
    images = blobs(96, 1)
    strided = torch.empty(96, 32, 32, 1, dtype=torch.uint8).permute(0, 3, 1, 2).copy_(images)
    assert strided.stride() != images.stride()
    for protocol in (STRICT, SMALL_FSVAE2022):
        one, two = (score_fad(x, autoencoder, data.images, protocol).value for x in (images, strided))
        assert one == two


def test_fsvae2022_uses_batch_statistics_and_keeps_none(data, autoencoder):
    before = autoencoder.sha256
    recipe = SMALL_FSVAE2022.recipe("FAD")
    extractor = autoencoder.extractor(recipe)
    images = blobs(32, 1)
    first, second = (extractor.features(images)["latent"] for _ in range(2))
    training = copy.deepcopy(autoencoder).train()
    torch.testing.assert_close(first, training.encode(images / 127.5 - 1), rtol=1e-5, atol=1e-5)
    assert torch.equal(first, second)
    assert autoencoder.sha256 == before and not autoencoder.training


def test_fsvae2022_takes_its_own_number_of_images(data, autoencoder):
    with pytest.raises(ValueError, match="takes exactly 5120 images, 100 were asked for"):
        score_fad(data.images, autoencoder, data.images, FSVAE2022, n=100)
    few = "FAD under protocol fsvae2022 takes exactly 5120 images, only 100 were found; supply more, or choose a"
    with pytest.raises(ValueError, match=few):
        score_fad(data.images, autoencoder, data.images, FSVAE2022)


def test_bad_images(data, autoencoder):
    good = data.images / 127.5 - 1
    for images, message in [
        (torch.full_like(good, float("nan")), "NaN or infinite pixels"),
        (good * 2, "pixels in -1..1, found"),
        (
            torch.cat([good, -good, good], 1),
            "takes 1-channel images, found 3 channels; convert the images, or train a network",
        ),
        (good[..., :28], "takes 32 x 32 images, found 32 x 28"),
        (good[:1], "FAD needs at least 2 images on either side, found 1 to score"),
        (good[:0], "FAD needs at least 2 images on either side, found 0 to score"),
        ([], "no images to score"),
    ]:
        with pytest.raises(ValueError, match=message):
            score_fad(images, autoencoder, good)
    with pytest.raises(ValueError, match="at least 2 images, 1 were asked for"):
        score_fad(good, autoencoder, good, n=1)
    with pytest.raises(ValueError, match="101 images were asked for, only 100 were found"):
        score_fad(good, autoencoder, good, n=101)


def test_few_images_are_reported(data, autoencoder):
    with pytest.warns(UserWarning, match="FAD: 50 scored images for 64 features: their covariance has rank 49 at most"):
        result = score_fad(data.images, autoencoder, data.images, n=50)
    assert "biased upwards" in result.notes[0]
    (note,) = score_fad(data.images, autoencoder, data.images).notes
    assert "is no sound judge" in note  # it was trained on 100 images


def test_reference_is_stored_and_foreign_ones_are_refused(data, autoencoder, tmp_path, monkeypatch):
    reference = make_reference(data, autoencoder, STRICT_FAD)
    reference.save(tmp_path / "reference.safetensors")
    again = load_reference(tmp_path / "reference.safetensors")
    assert again.sha256 == reference.sha256 and again.key == reference.key and again.notes == ()
    with monkeypatch.context() as patch:
        patch.setattr("eval.reference.library_versions", lambda: {"torch": "1.0"})
        reference.save(tmp_path / "old.safetensors")
    (note,) = load_reference(tmp_path / "old.safetensors").notes
    assert f"made with fsvae-tcja None (now {version('fsvae-tcja')}), torch 1.0 (now {version('torch')})" in note
    images = blobs(90, 1)
    assert score_fad(images, autoencoder, again).value == score_fad(images, autoencoder, reference).value
    with pytest.raises(ValueError, match=r"do not belong to this score \(extractor: "):
        score_fad(images, Autoencoder(), again)
    with pytest.raises(ValueError, match=r"to this score \(extraction.quantise: True there, False needed; "):
        score_fad(images, autoencoder, again, SMALL_FSVAE2022)


def test_reference_files_are_checked(data, autoencoder, tmp_path):
    autoencoder.save(tmp_path / "fad.safetensors")
    with pytest.raises(ValueError, match="holds autoencoder, expected reference statistics"):
        load_reference(tmp_path / "fad.safetensors")
    make_reference(data, autoencoder, STRICT_FAD).save(tmp_path / "reference.safetensors")
    with pytest.raises(ValueError, match="holds statistics, expected autoencoder"):
        Autoencoder.load(tmp_path / "reference.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "reference.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match="truncated"):
        load_reference(tmp_path / "cut.safetensors")
    save_file(load_file(tmp_path / "reference.safetensors"), tmp_path / "bare.safetensors")
    with pytest.raises(ValueError, match="no fsvae-tcja metadata"):
        load_reference(tmp_path / "bare.safetensors")
    tensors, metadata = checkpoint.read(tmp_path / "reference.safetensors")
    for changes in ({"n": 101}, {"key": metadata["key"] | {"extractor": "0"}}, {}):
        moved = {name: tensor if changes else tensor + 1 for name, tensor in tensors.items()}
        checkpoint.write(tmp_path / "altered.safetensors", moved, metadata | changes)
        with pytest.raises(ValueError, match="altered after they were saved; make them anew"):
            load_reference(tmp_path / "altered.safetensors")
    for part in ("key", "n", "versions"):
        less = {name: value for name, value in metadata.items() if name not in (part, "sha256")}
        sha256 = json_sha256([tensors_sha256(tensors), less])
        checkpoint.write(tmp_path / "less.safetensors", tensors, less | {"sha256": sha256})
        with pytest.raises(ValueError, match=rf"holds no sound reference statistics \(no '{part}'\); make them anew"):
            load_reference(tmp_path / "less.safetensors")
    for changes in ({"key": {}}, {"key": []}, {"versions": []}, {"n": 1}, {"n": "100"}):
        crafted = {name: value for name, value in (metadata | changes).items() if name != "sha256"}
        sha256 = json_sha256([tensors_sha256(tensors), crafted])
        checkpoint.write(tmp_path / "crafted.safetensors", tensors, crafted | {"sha256": sha256})
        with pytest.raises(
            ValueError, match=r"crafted\.safetensors holds no sound reference statistics .*; make them anew"
        ):
            load_reference(tmp_path / "crafted.safetensors")
    state = autoencoder.state_dict()
    checkpoint.write(
        tmp_path / "crafted.safetensors",
        state,
        {"kind": "autoencoder", "sha256": autoencoder.sha256, "provenance": ["data"]},
    )
    with pytest.raises(ValueError, match=r"crafted.safetensors does not say in a known form where its weights come"):
        Autoencoder.load(tmp_path / "crafted.safetensors")
    (tmp_path / "authors.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"is not an .npz with mu \[d\] and sigma \[d, d\]"):
        extractor = autoencoder.extractor(FSVAE2022_FAD)
        load_fsvae2022_reference(tmp_path / "authors.npz", extractor, FSVAE2022_FAD)


@pytest.mark.parametrize(
    ("name", "stem", "train_fad"),
    [("mnist", "mnist", 4.586613), pytest.param("fashion-mnist", "fashion", 0.870412, marks=long)],
)
def test_published_statistics_and_floors(real_data, name, stem, train_fad):
    """Published autoencoder: test images in batches of 256, the last one of 16, reproduce the published statistics."""
    autoencoder = Autoencoder.load(real_data / "fad-2022" / f"{stem}_64.pth")
    before = autoencoder.sha256
    extractor = autoencoder.extractor(FSVAE2022_FAD)
    assert (extractor.name, extractor.notes) == (f"autoencoder of {name} (published)", ())
    stored = real_data / "fad-2022" / f"{stem}_test_64.npz"
    published = load_fsvae2022_reference(stored, extractor, FSVAE2022_FAD)
    ours = make_reference(load_images(name, "test", root=real_data), autoencoder, FSVAE2022_FAD)
    assert ours.statistics.n == 10_000
    assert frechet_distance(ours.statistics, published.statistics) < 1e-6
    torch.testing.assert_close(ours.statistics.covariance, published.statistics.covariance, rtol=1e-7, atol=7e-7)
    result = score_fad(f"{name}:train", autoencoder, stored, FSVAE2022)
    assert result.value == pytest.approx(train_fad, abs=1e-6)
    assert result.n == 5120
    published = f"{name} train: the first 5,120 of 60,000 images in published order, as protocol fsvae2022 has it"
    assert result.notes == (published,)
    assert result.reference_description == f"{name} test (published), 10000 images"
    assert autoencoder.sha256 == before
    message = f"made with the published autoencoder of {name}, not with this autoencoder un"
    with pytest.raises(ValueError, match=message):
        score_fad(blobs(5120, 0), Autoencoder(), stored, FSVAE2022)


@long
def test_a_published_floor_of_a_stream(real_data):
    autoencoder, stored = (real_data / "fad-2022" / name for name in ("mnist_64.pth", "mnist_test_64.npz"))
    train = (images for images, _ in batches(load_images("mnist", "train", root=real_data), 256))
    result = score_fad(train, Autoencoder.load(autoencoder), stored, FSVAE2022)
    assert result.value == pytest.approx(4.586613, abs=1e-6) and result.n == 5120
    assert result.notes == ("a stream: the first 5,120 images of a stream, which cannot be drawn from",)


def test_digits_can_be_told_from_noise_after_one_pass():
    """An eighth of DIGITS_TRAINING."""
    train, test = load_images("digits", "train"), load_images("digits", "test")
    autoencoder = train_autoencoder(train, dataclasses.replace(DIGITS_TRAINING, epochs=1))
    noise = torch.randint(0, 256, test.images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    digits, noise = (score_fad(images, autoencoder, train.images).value for images in (test.images, noise))
    assert noise > 20 * digits


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_strict_score_on_the_gpu(data, autoencoder):
    scores = [score_fad(blobs(90, 1), autoencoder, data.images, device=device).value for device in ("cpu", "cuda")]
    assert scores[1] == pytest.approx(scores[0], rel=1e-9)
