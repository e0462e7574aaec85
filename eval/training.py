"""Training of the small networks that scores look through."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from fsvae_tcja.data.dataset import LabelledDataset
from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.data.workers import batches
from fsvae_tcja.runtime.config import TrainerConfig
from fsvae_tcja.runtime.run import RunFolder, open_run
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.processes import rank, world

from .provenance import ImageDigest, library_versions
from .randomness import check_seed, isolated_randomness

WEIGHT_DECAY = 1e-2  # PyTorch's own default for AdamW
PART = 250  # images that are looked at together
EACH_EPOCH = 2**31  # steps between rows of metrics: one row an epoch

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[Network, Tensor, Tensor], Tensor]
"""(network, images [B, C, S, S] in [-1, 1], labels [B]) -> scalar."""


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
    """Random seed of the initial weights and of the order of the images."""
    device: str = "cpu"
    """Where to train."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "latent"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, found {number}")
        if not self.lr > 0:
            raise ValueError(f"lr must be > 0, found {self.lr}")
        check_seed(self.seed)


class Interrupted(KeyboardInterrupt):
    """A training was interrupted; its run folder, if it has one, can be resumed.

    Attributes:
        status: for the process to end with.
    """

    status = 130


def train(
    build: Callable[[], Network],
    loss: Loss[Network],
    dataset: LabelledDataset,
    config: TrainingConfig,
    *,
    run: Path | None = None,
    resume: bool = False,
) -> Network:
    """Build a network and train it with AdamW. The global random state is left alone.

    Args:
        build: makes the network; its random weights depend on the seed.
        loss: what is minimised.
        dataset: training images.
        config: how.
        run: run folder for metrics and a checkpoint after each epoch; None: nothing is kept.
        resume: go on with the training in `run`, which ends as if it had not been interrupted.

    Returns:
        the network in evaluation mode, on the CPU.

    Raises:
        Interrupted: by Ctrl-C, SIGTERM, SIGHUP or SIGUSR1.
        ValueError: a training of other settings or images is in `run`, or it diverged.
    """
    with isolated_randomness(config.seed):
        network = build()
    settings = TrainerConfig(
        data=dataset.name,
        epochs=config.epochs,
        batch_size=config.batch_size,
        lr=config.lr,
        weight_decay=WEIGHT_DECAY,
        seed=config.seed,
        log_every=EACH_EPOCH,
    )
    with ExitStack() as stack:
        folder = open_run(run, resume) if run else RunFolder(Path(stack.enter_context(TemporaryDirectory()), "run"))
        task, order = _Task(network, loss, dataset), _order(len(dataset), config.seed)
        outcome = Trainer(task, settings, folder, device=config.device, order=order).fit(resume)
    if not outcome.finished:
        stopped = Interrupted(f"stopped after step {outcome.step} of {outcome.total}")
        stopped.status = outcome.status
        raise stopped
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        where = f"; delete {run}" if run else ""
        raise ValueError(f"the training diverged, the weights are not finite: train anew with another --lr{where}")
    return network.cpu().eval()


def _order(n: int, seed: int) -> Callable[[int], Tensor]:
    """The order of n images in each epoch: permutation after permutation of one generator."""

    def order(epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return [torch.randperm(n, generator=generator) for _ in range(epoch + 1)][-1]

    return order


class _Task(Generic[Network]):
    """A network as the trainer sees it."""

    def __init__(self, network: Network, loss: Loss[Network], dataset: LabelledDataset) -> None:
        self.model, self.loss, self.data = network, loss, dataset

    def losses(self, images: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": self.loss(self.model, to_float(images), labels)}

    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        return {}

    def metadata(self) -> dict[str, Any]:
        return {"kind": f"training of a network, {type(self.model).__name__}"}


@torch.inference_mode()
def mean_over(dataset: LabelledDataset, value: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Mean over a data set of a function (images in [-1, 1], labels) -> [B]."""
    total = sum(value(to_float(images), labels).double().sum().item() for images, labels in batches(dataset, PART))
    return total / len(dataset)


def provenance(dataset: LabelledDataset, config: TrainingConfig) -> dict[str, Any]:
    """What went into a network, as plain data."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("latent", "device")}
    data = {"data": dataset.name, "split": dataset.split, "images": len(dataset), "images_sha256": _sha256(dataset)}
    pixels = {"size": dataset.size, "channels": dataset.channels}
    return data | pixels | settings | {"versions": library_versions()}


def _sha256(dataset: LabelledDataset) -> str:
    """Hash of all pixels: that of a reference made of the same images. Each batch is counted by one process."""
    digest = ImageDigest()
    for number, (images, _) in enumerate(batches(dataset, PART)):
        if number % world() == rank():
            digest.update(images, number * PART)
    return digest.hexdigest()
