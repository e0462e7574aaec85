"""Training of the small networks that scores look through."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fsvae_tcja.runtime.data import batches, to_float
from fsvae_tcja.runtime.dataset import ImageDataset

Progress = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss."""


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


def train(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor],
    dataset: ImageDataset,
    config: TrainingConfig,
    progress: Progress | None = None,
) -> nn.Module:
    """Build a network and train it with AdamW. The global random state is left alone.

    Args:
        build: makes the network; its random weights depend on the seed.
        loss: (network, images [B, C, S, S] in [-1, 1], labels [B]) -> scalar.
        dataset: training images.
        config: how.
        progress: hears of each epoch.

    Returns:
        the network in evaluation mode, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build().to(config.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr)
    generator = torch.Generator().manual_seed(config.seed)
    for epoch in range(1, config.epochs + 1):
        network.train()
        total = 0.0
        order = torch.randperm(len(dataset), generator=generator)
        for images, labels in batches(dataset, config.batch_size, order=order):
            value = loss(network, to_float(images.to(config.device)), labels.to(config.device))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            total += value.item() * len(images)
        if progress:
            progress(epoch, total / len(dataset))
    return network.cpu().eval()


@torch.inference_mode()
def mean_over(dataset: ImageDataset, value: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Mean over a data set of a function (images in [-1, 1], labels) -> [B]."""
    total = sum(value(to_float(images), labels).double().sum().item() for images, labels in batches(dataset, 250))
    return total / len(dataset)


def provenance(dataset: ImageDataset, config: TrainingConfig) -> dict[str, Any]:
    """What went into a network, as plain data."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("latent", "device")}
    return {"data": dataset.name, "split": dataset.split, "images": len(dataset)} | settings
