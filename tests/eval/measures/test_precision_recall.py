"""Precision and recall are torch-fidelity's own, in VGG16 with seeded random weights, and those of prdc."""

import pytest
import torch
import torch.nn.functional as F
import torch_fidelity
from for_fidelity import PlainImages, randomised
from prdc import compute_prdc
from torchvision.models import vgg16

from eval import Networks, evaluate
from eval.measures import MEASURES, FeatureStore
from eval.protocols import STANDARD, STRICT

N = 6  # a neighbourhood is the third nearest image


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random-vgg16.pth"
    torch.save(randomised(vgg16(init_weights=False), 0.01), path)
    yield path
    path.unlink()  # 528 MB


def clouds(seed: int, brightest: float) -> torch.Tensor:
    """uint8 [N, 3, 16, 16]"""
    coarse = torch.rand(N, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * brightest
    return (F.interpolate(coarse, (16, 16), mode="bicubic").clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.mark.filterwarnings("ignore:.*is not the published")
def test_precision_and_recall_are_torch_fidelitys(weights):
    images, reference = clouds(1, 0.9), clouds(2, 1.0)
    expected = torch_fidelity.calculate_metrics(
        input1=PlainImages(images),
        input2=PlainImages(reference),
        prc=True,
        feature_extractor="vgg16",
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    precision, recall = evaluate(images, STANDARD, ("PRC",), reference=reference, networks=Networks(vgg16=weights))
    assert (precision.name, precision.value) == ("Precision", expected["precision"])
    assert (recall.name, recall.value) == ("Recall", expected["recall"])
    assert 0 < recall.value < precision.value


def test_precision_and_recall_are_prdcs():
    """On shared features, of another number on either side, narrower than the reference."""
    generator = torch.Generator().manual_seed(0)
    stores = FeatureStore(), FeatureStore()
    for store, n, spread in zip(stores, (300, 400), (0.5, 1.0), strict=True):
        store.update(spread * torch.randn(n, 6, generator=generator, dtype=torch.float64), 0)
    found = MEASURES["precision recall"].value(STRICT.recipe("PRC-AE"), *stores)
    expected = compute_prdc(stores[1].features.numpy(), stores[0].features.numpy(), nearest_k=3)
    assert 0 < expected["recall"] < expected["precision"]
    for name in ("precision", "recall"):
        assert found[f"{name.title()}-AE"][0] == pytest.approx(expected[name], abs=1e-6)
