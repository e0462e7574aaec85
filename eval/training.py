"""Training of the small networks that scores look through."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fsvae_tcja.data.dataset import LabelledDataset
from fsvae_tcja.data.load import batches
from fsvae_tcja.data.pixels import to_float

from .provenance import ImageDigest, library_versions
from .randomness import check_seed, isolated_randomness

Progress = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss."""
Stop = Callable[[], bool]
"""Says whether to stop."""


@dataclass(frozen=True)
class TrainingConfig:
    """How an extractor is trained."""

    epochs: int = 150
    """Passes over the training split."""
    batch_size: int = 250
    """Images per step."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    latent: int | None = None
    """Length of the feature vector; None takes the network's own."""
    seed: int = 0
    """Owner of the initial weights and of the order of the images."""
    device: str = "cpu"
    """Where to train."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not self.lr > 0:
            raise ValueError(f"lr must be > 0, found {self.lr}")
        check_seed(self.seed)


def train(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor],
    dataset: LabelledDataset,
    config: TrainingConfig,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> tuple[nn.Module, TrainingConfig]:
    """Build a network and train it with AdamW. The global random state is left alone.

    Args:
        build: makes the network; its random weights depend on the seed.
        loss: (network, images [B, C, S, S] in [-1, 1], labels [B]) -> scalar.
        dataset: training images.
        config: how.
        progress: hears of each epoch.
        stop: asked after each step; once it says so, the last whole epoch was the last.

    Returns:
        the network in evaluation mode, on the CPU, and `config` with the epochs that it saw: trained with that one, it
        would be the same.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was over.
    """
    with isolated_randomness(config.seed):
        network = build().to(config.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr)
    generator = torch.Generator().manual_seed(config.seed)
    whole = {}
    for epoch in range(1, config.epochs + 1):
        network.train()
        total = 0.0
        order = torch.randperm(len(dataset), generator=generator)
        for images, labels in batches(dataset, config.batch_size, order=order):
            if stop and stop():
                return _as_after(network, whole), replace(config, epochs=epoch - 1)
            value = loss(network, to_float(images.to(config.device)), labels.to(config.device))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            total += value.item() * len(images)
        whole = deepcopy(network.state_dict())
        if progress:
            progress(epoch, total / len(dataset))
    return network.cpu().eval(), config


def _as_after(network: nn.Module, whole: dict[str, Tensor]) -> nn.Module:
    """The network with the weights that it had after its last whole epoch."""
    if not whole:
        raise KeyboardInterrupt
    network.load_state_dict(whole)
    return network.cpu().eval()


@torch.inference_mode()
def mean_over(dataset: LabelledDataset, value: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Mean over a data set of a function (images in [-1, 1], labels) -> [B]."""
    total = sum(value(to_float(images), labels).double().sum().item() for images, labels in batches(dataset, 250))
    return total / len(dataset)


def provenance(dataset: LabelledDataset, config: TrainingConfig) -> dict[str, Any]:
    """What went into a network, as plain data."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("latent", "device")}
    data = {"data": dataset.name, "split": dataset.split, "images": len(dataset), "images_sha256": _sha256(dataset)}
    pixels = {"size": dataset.size, "channels": dataset.channels}
    return data | pixels | settings | {"versions": library_versions()}


def _sha256(dataset: LabelledDataset) -> str:
    """Hash of all pixels: that of a reference made of the same images."""
    digest, start = ImageDigest(), 0
    for images, _ in batches(dataset, 250):
        digest.update(images, start)
        start += len(images)
    return digest.hexdigest()
