"""Scores that need every feature, and draws from the global random state: for one process or several."""

import torch

from eval import Networks, evaluate
from eval.features import Extractor
from eval.training import TrainingConfig, provenance
from fsvae_tcja.data import load_images


def features(images: torch.Tensor) -> dict[str, torch.Tensor]:
    pixels = images.double().flatten(1)[:, 400:416]
    return {"2048": pixels, "latent": pixels}


def pixels(images, protocol: str, name: str, reference, n: int = 290, **given) -> tuple[float, str | None]:
    """A score in the features of a network that costs nothing, and its reference."""
    extractor = Extractor("pixels", "0", {"2048": 16, "latent": 16}, torch.device("cpu"), features)
    options = {"networks": Networks(inception=extractor, autoencoder=extractor), "n": n, "seed": 3, "batch": 64}
    (result,) = evaluate(images, protocol, (name,), reference=reference, **options, **given)
    return result.value, result.reference


def values() -> list[tuple[float, str | None]]:
    """Of all batches; of a generator that uses the global random state; of one batch for all processes."""

    def drawn(start: int, count: int) -> torch.Tensor:
        return torch.rand(count, 1, 32, 32)

    return [
        pixels("digits:test", "standard", "KID", "digits"),
        pixels(drawn, "strict", "FAD", "digits", value_range="0..1"),
        pixels("digits:test", "strict", "FAD", "digits", n=40),
    ]


def hash_of_training_images() -> str:
    """What a network says of the images that it was trained on."""
    return provenance(load_images("digits", "train"), TrainingConfig())["images_sha256"]
