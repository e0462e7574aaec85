"""Seeded random weights in the files that torch-fidelity and torchvision publish."""

from pathlib import Path
from unittest import mock

import pytest
import torch
from for_fidelity import randomised
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import inception_v3


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory) -> Path:
    """The 2015-12-05 network, random, as torch-fidelity reads it."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "none.pth")
    with mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict"):
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=folder / "none.pth"
        )
    torch.save(randomised(network, 1.0), folder / "random-inception.pth")
    return folder / "random-inception.pth"


@pytest.fixture(scope="session")
def torchvision_weights(tmp_path_factory) -> Path:
    """torchvision's inception_v3, random."""
    path = tmp_path_factory.mktemp("weights") / "random-torchvision.pth"
    torch.save(randomised(inception_v3(weights=None, init_weights=False), 0.003), path)
    return path


@pytest.fixture(scope="session")
def photographs() -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of uint8 [12, 3, 16, 16] that differ in colour and contrast."""
    generator = torch.Generator().manual_seed(1)
    low, high = (
        torch.nn.functional.interpolate(
            torch.rand(12, 3, 4, 4, generator=generator) * scale, (16, 16), mode="bicubic"
        ).clamp(0, 1)
        for scale in (0.6, 1.0)
    )
    return (low * 255).round().to(torch.uint8), (high * 255).round().to(torch.uint8)
