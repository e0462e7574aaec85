"""The ImageNet networks with seeded random weights: torch-fidelity's own numbers, and straight computations."""

import dataclasses
import hashlib
import warnings

import numpy as np
import pytest
import torch
import torch_fidelity
from for_fidelity import PlainImages
from one_score import score, setting
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.models import inception_v3

from eval import MEASURES, NETWORKS, Networks, evaluate, make_references
from eval.images import as_levels, as_uint8
from eval.measures.frechet import GaussianStatistics, frechet_distance
from eval.measures.kid import KID
from eval.networks.weights import read_weights
from eval.preprocessing import RESIZE
from eval.protocols import FSVAE2022, STANDARD
from fsvae_tcja.runtime import checkpoint
from tests.conftest import long

pytestmark = pytest.mark.filterwarnings("ignore:.*is not the published", "ignore:.*covariance has rank")
N = 12
SUBSET = 9  # of KID; the default is more than there are images
PUBLISHED = [NETWORKS[name].weights for name in ("inception 2015-12-05", "inception torchvision", "vgg16")]
TWO_SPLITS = dataclasses.replace(
    STANDARD, recipes=(dataclasses.replace(STANDARD.recipe("IS"), splits=2), *STANDARD.recipes[1:])
)  # 12 images make no ten splits


@pytest.fixture(scope="module")
def fidelity(photographs, inception_weights) -> dict[str, float]:
    """torch-fidelity's numbers, FID in the 64-d layer, where 12 images are fewest short of full rank."""
    return torch_fidelity.calculate_metrics(
        input1=PlainImages(photographs[0]),
        input2=PlainImages(photographs[1]),
        isc=True,
        fid=True,
        kid=True,
        isc_splits=2,
        kid_subset_size=SUBSET,
        feature_extractor="inception-v3-compat",
        feature_layer_fid="64",
        feature_extractor_weights_path=str(inception_weights),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        batch_size=5,
    )


@pytest.fixture(scope="module")
def networks(inception_weights, torchvision_weights) -> Networks:
    return Networks(inception=inception_weights, inception_torchvision=torchvision_weights)


def test_standard_agrees_with_torch_fidelity(photographs, networks, fidelity, monkeypatch):
    monkeypatch.setitem(MEASURES, "kid", KID(SUBSET))
    is_, fid, kid = evaluate(
        photographs[0], TWO_SPLITS, ("IS", "FID-64", "KID"), reference=photographs[1], networks=networks, batch=7
    )
    assert is_.value == pytest.approx(fidelity["inception_score_mean"], rel=1e-6)
    assert is_.std == pytest.approx(fidelity["inception_score_std"], rel=1e-4)
    assert fid.value == pytest.approx(fidelity["frechet_inception_distance"], rel=1e-5)
    assert kid.value == pytest.approx(fidelity["kernel_inception_distance_mean"], rel=1e-4)
    assert (fid.name, fid.n, fid.recipe["layer"]) == ("FID-64", N, "64")
    assert is_.value > 1.01 and fid.value > 0 and kid.value != 0
    assert kid.std == pytest.approx(fidelity["kernel_inception_distance_std"], rel=1e-4)
    other = (
        "random-inception.pth is not the published weights-inception-2015-12-05-6726825d.pth: "
        "its scores cannot be compared with published ones"
    )
    assert "biased upwards" in fid.notes[0] and "biased downwards" in is_.notes[0]
    assert is_.notes[1:] == kid.notes == (other,)
    assert is_.extractor_description == "inception 2015-12-05 with random-inception.pth"


def test_every_kind_of_input_gives_torch_fidelitys_scores(photographs, networks, fidelity, tmp_path, monkeypatch):
    """The network sees each batch of pixels once: what differs between the kinds comes before it."""
    monkeypatch.setitem(MEASURES, "kid", KID(SUBSET))
    images, reference = photographs
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "folder" / f"{i:03d}.png")
    np.savez(tmp_path / "images.npz", images=images.permute(0, 2, 3, 1).numpy())
    np.save(tmp_path / "images.npy", images.numpy())
    recipes = [TWO_SPLITS.recipe(name) for name in ("IS", "FID-64", "KID")]
    network = networks.load(recipes)[0]
    seen: dict[bytes, dict] = {}

    def features(images):
        pixels = as_uint8(images)
        key = pixels.numpy().tobytes()
        if key not in seen:
            seen[key] = network.features(pixels)
        return seen[key]

    extractor = dataclasses.replace(network, features=features)
    protocol, ours = setting(extractor, recipes)
    stored = make_references(reference, protocol, networks=ours)
    expected = [
        fidelity[name]
        for name in ("inception_score_mean", "frechet_inception_distance", "kernel_inception_distance_mean")
    ]
    kinds = {
        "float tensor": images / 127.5 - 1,
        "folder": tmp_path / "folder",
        "npz": tmp_path / "images.npz",
        "npy": tmp_path / "images.npy",
        "loader": DataLoader(images, batch_size=5),
        "callable": lambda start, count: images[start : start + count],
    }
    for kind, what in kinds.items():
        value_range = "-1..1" if kind == "float tensor" else None
        scores = evaluate(what, protocol, reference=stored, networks=ours, n=N, value_range=value_range)
        values = [s.value for s in scores]
        assert values[:2] == pytest.approx(expected[:2], rel=1e-5), kind
        assert values[2] == pytest.approx(expected[2], rel=1e-4), kind
    assert len(seen) == 2  # the two sets


def test_standard_knows_no_batch_size(photographs, networks):
    """float32 convolutions of other batches round otherwise: 1e-5 relative."""
    names, options = ("IS", "FID-64"), {"networks": networks}
    reference = make_references(photographs[1][:4], TWO_SPLITS, names, **options)
    options["reference"] = reference
    one, two = (evaluate(photographs[0][:5], TWO_SPLITS, names, batch=batch, **options) for batch in (5, 3))
    assert [s.value for s in one] == pytest.approx([s.value for s in two], rel=1e-5)


def test_grey_is_repeated_on_purpose(photographs, networks):
    grey = photographs[0][:6, :1]
    recipe = STANDARD.recipe("FID-64")
    (extractor,) = networks.load([recipe])
    assert torch.equal(extractor.features(grey)["64"], extractor.features(grey.repeat(1, 3, 1, 1))["64"])
    assert recipe.grey == "repeated to RGB"


def test_fsvae2022_inception_score_is_its_definition_in_float64(photographs, torchvision_weights):
    """0..255 unnormalised, bilinear to 299, torchvision's logits, each batch a split."""
    images = photographs[1][:4, :1] / 127.5 - 1.003  # between the levels: nothing is rounded
    images = images.clamp(-1, 1)
    recipe = dataclasses.replace(FSVAE2022.recipe("IS"), n=None, splits=2, batch=2)
    result = score(images, torchvision_weights, recipe, value_range="-1..1")

    network = inception_v3(weights=None, transform_input=False, init_weights=False).eval().double()
    network.load_state_dict({k: v.double() for k, v in torch.load(torchvision_weights, weights_only=True).items()})
    x = ((images.double() + 1) / 2 * 255).repeat(1, 3, 1, 1)
    with torch.no_grad():
        x = torch.nn.functional.interpolate(x, (299, 299), mode="bilinear", align_corners=False)
        p = network(x).softmax(1).view(2, 2, -1)
    expected = (p * (p.log() - p.mean(1, keepdim=True).log())).sum(2).mean(1).exp()
    assert result.value == pytest.approx(expected.mean().item(), rel=1e-5)
    assert result.std == pytest.approx(expected.std(correction=0).item(), rel=1e-3)
    assert result.value > 1.001


def test_fsvae2022_resize_is_pillows():
    image = torch.randint(0, 256, (1, 1, 32, 32), generator=torch.Generator().manual_seed(3)).float()
    pillow = np.asarray(Image.fromarray(image[0, 0].numpy(), "F").resize((299, 299), Image.Resampling.BICUBIC))
    ours = RESIZE[FSVAE2022.recipe("FID").resize](image, 0, 255)[0, 0].numpy()
    assert ours.min() == 0 and ours.max() == 255  # the overshoot is cut
    np.testing.assert_allclose(ours, pillow.clip(0, 255), rtol=0, atol=1e-3)


def test_fsvae2022_fid_is_its_definition(photographs, inception_weights):
    """Pillow bicubic per image, without rounding, then the 2015-12-05 network on (x - 128) / 128."""
    recipe = dataclasses.replace(FSVAE2022.recipe("FID"), n=None, batch=None)
    (extractor,) = Networks(inception=inception_weights).load([recipe])
    images = photographs[0][:4] / 127.5 - 1 + 0.002
    features = extractor.features(images)["2048"]

    resized = np.stack(
        [
            [
                np.asarray(Image.fromarray(c, "F").resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
                for c in image
            ]
            for image in as_levels(images).numpy()
        ]
    )
    network = extractor_network(inception_weights)
    with torch.no_grad():  # torch-fidelity's forward from behind its resize
        expected = network((torch.from_numpy(resized) - 128) / 128)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def extractor_network(path):
    """torch-fidelity's forward with its conversion to float and its resize taken out."""
    from unittest import mock

    from torch_fidelity import feature_extractor_inceptionv3 as module

    network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=path)

    def forward(x):
        with (
            mock.patch.object(module, "vassert"),
            mock.patch.object(module, "interpolate_bilinear_2d_like_tensorflow1x", lambda x, **_: x),
        ):
            return network(x * 128 + 128)[0]

    return forward


def test_layers_can_be_chosen(photographs, networks):
    recipes = [STANDARD.recipe(name) for name in ("FID-64", "FID-192", "FID-768", "FID", "IS")]
    extractors = networks.load(recipes)
    assert all(extractor is extractors[0] for extractor in extractors)  # one pass for all
    features = extractors[0].features(photographs[0][:2])
    assert {layer: x.shape[1] for layer, x in features.items()} == {
        "64": 64, "192": 192, "768": 768, "2048": 2048, "logits_unbiased": 1008
    }  # fmt: skip
    pillow = dataclasses.replace(FSVAE2022.recipe("FID-192"))
    assert networks.load([pillow])[0].features(photographs[0][:2])["192"].shape == (2, 192)
    with pytest.raises(
        ValueError,
        match=r"protocol standard defines no FID-100; it defines IS, FID, KID, PRC, MIND-Inception, .* and FID-64",
    ):
        STANDARD.recipe("FID-100")


@pytest.mark.parametrize("layer", ["768", pytest.param("2048", marks=long)])
def test_layers_agree_with_torch_fidelity_on_the_same_features(photographs, networks, layer):
    """12 images for many features: torch-fidelity's eigenvalues of the unsymmetric product are sound to 1e-3 here."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    (extractor,) = networks.load([STANDARD.recipe("FID" if layer == "2048" else f"FID-{layer}")])
    a, b = (extractor.features(x)[layer] for x in photographs)
    expected = fid_statistics_to_metric(*(fid_features_to_statistics(x) for x in (a, b)), verbose=False)
    ours = frechet_distance(GaussianStatistics.of(a), GaussianStatistics.of(b))
    assert ours == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)


def test_absent_weights_are_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for weights in PUBLISHED:
        monkeypatch.delenv(weights.variable, raising=False)
        with pytest.raises(FileNotFoundError) as error:
            read_weights(weights)
        for part in (weights.name, weights.url, str(tmp_path), weights.variable, "FAD and the domain scores work"):
            assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"not at .*mine.pth"):
        read_weights(NETWORKS["vgg16"].weights, tmp_path / "mine.pth")


def test_weights_by_path_variable_and_cache(tmp_path, monkeypatch, inception_weights):
    weights = NETWORKS["inception 2015-12-05"].weights
    with pytest.warns(UserWarning, match="is not the published weights-inception-2015-12-05-6726825d.pth"):
        given = read_weights(weights, inception_weights)
    assert given.sha256 == hashlib.sha256(inception_weights.read_bytes()).hexdigest()
    monkeypatch.setenv(weights.variable, str(inception_weights))
    assert read_weights(weights)[:2] == given[:2]
    monkeypatch.delenv(weights.variable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights.cached.parent.mkdir(parents=True)
    weights.cached.symlink_to(inception_weights)
    with pytest.raises(ValueError, match=rf"altered: its SHA-256 is {given.sha256}, expected {weights.sha256}; fetch"):
        read_weights(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_weights(dataclasses.replace(weights, sha256=given.sha256)).file == weights.cached


def test_published_files_are_those_of_the_libraries():
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import Inception_V3_Weights, VGG16_Weights

    urls = URL_INCEPTION_V3, Inception_V3_Weights.IMAGENET1K_V1.url, VGG16_Weights.IMAGENET1K_V1.url
    assert [weights.url for weights in PUBLISHED] == list(urls)
    assert all(len(weights.sha256) == 64 and f"-{weights.sha256[:8]}." in weights.url for weights in PUBLISHED)


def test_weights_are_those_that_were_checked(tmp_path, inception_weights, monkeypatch):
    """A file that is swapped after the check is not read again, and no code of it runs."""

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    path = tmp_path / "weights.pth"
    path.write_bytes(inception_weights.read_bytes())
    check = checkpoint.parse_state_dict

    def swapped(data, file):
        torch.save({"weight": Trap()}, path)
        return check(data, file)

    monkeypatch.setattr("eval.networks.weights.parse_state_dict", swapped)
    (extractor,) = _load(STANDARD.recipe("FID-64"), path)
    assert extractor.sha256 == hashlib.sha256(inception_weights.read_bytes()).hexdigest()
    assert not (tmp_path / "trapped").exists()


def _load(recipe, weights):
    return setting(weights, [recipe])[1].load([recipe])


def test_wrong_and_truncated_weights(tmp_path, inception_weights, torchvision_weights):
    for name in ("FID", "IS"):
        recipe = FSVAE2022.recipe(name)
        wrong = torchvision_weights if name == "FID" else inception_weights
        with pytest.raises(ValueError, match=f"does not hold the weights of the {recipe.extractor} network"):
            _load(recipe, wrong)
        (tmp_path / "cut.pth").write_bytes(wrong.read_bytes()[:100_000])
        with pytest.raises(ValueError, match="truncated, or no plain PyTorch state dict"):
            _load(recipe, tmp_path / "cut.pth")


def test_pickled_weights_are_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    for weights in PUBLISHED:
        with pytest.raises(ValueError, match="no plain PyTorch state dict"):
            read_weights(weights, tmp_path / "trap.pth")
    assert not (tmp_path / "trapped").exists()
