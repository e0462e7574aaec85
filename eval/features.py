"""From images to what scores are made of, in one pass over the images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fsvae_tcja.utils.processes import gather

from .images import PixelExtremes
from .measures import Collector
from .precision import full_precision
from .randomness import isolated_randomness
from .sources import BATCH, Source


@dataclass(frozen=True)
class Extractor:
    """A network as a score sees it."""

    name: str
    """What it is, in words."""
    sha256: str
    """Hash of its weights."""
    dims: dict[str, int]
    """Its layers and the length of their features."""
    device: torch.device
    """Where it computes."""
    features: Callable[[Tensor], dict[str, Tensor]]
    """Canonical images [B, C, H, W] -> features [B, dim] by layer."""
    size: int | None = None
    """Height and width of the images that it takes; None: it resizes."""
    data: str | None = None
    """The data set that it was trained on; None: unknown, or ImageNet."""
    notes: tuple[str, ...] = ()
    """What a reader of its scores must know of it."""


@dataclass(frozen=True)
class Job:
    """One layer of an extractor for one collector, over the first n images (None: all)."""

    extractor: Extractor
    layer: str
    collector: Collector
    n: int | None


@dataclass(frozen=True)
class Seen:
    """What was found while images were read."""

    size: str
    """Height and width of the images, "28 x 28"."""
    notes: tuple[str, ...]
    """What a reader of their scores must know of their pixels."""


def sum_device(device: torch.device) -> torch.device:
    """Where float64 sums are kept: on the device, or on the CPU if it has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


@torch.inference_mode()
def run(
    source: Source,
    jobs: Sequence[Job],
    *,
    batch: int = BATCH,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Seen:
    """Read a source once and fill the collectors of all jobs.

    Args:
        source: the images; only as many are drawn as the longest job needs.
        jobs: what to compute from them.
        batch: images per batch.
        seed: of the global random state while images are drawn, which is left as it was.
        progress: called with the number of images of each batch done.

    Raises:
        ValueError: images that do not fit an extractor or are of several sizes, fewer than a job needs, or none.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, found {batch}")
    known = [job.n for job in jobs if job.n is not None]
    longest = max(known) if len(known) == len(jobs) else None
    sizes: set[str] = set()
    pixels = PixelExtremes(source.name, source.value_range)
    with isolated_randomness(seed):
        for start, images in source.batches(batch, longest, seed):
            sizes.add(" x ".join(map(str, images.shape[2:])))
            pixels.update(images)
            try:
                _update(jobs, images, start)
            except ValueError as error:
                raise ValueError(f"{source.name}: {error}") from error
            if progress:
                progress(len(images))
    sizes = set().union(*gather(sizes))
    if not sizes:
        raise ValueError(f"there are no images to score: {source.name} is empty")
    if len(sizes) > 1:
        raise ValueError(f"{source.name} holds images of {' and '.join(sorted(sizes))} pixels; bring them to one size")
    for job in jobs:
        job.collector.reduce()
    for other in gather(pixels):
        pixels.merge(other)
    return Seen(sizes.pop(), pixels.notes())


def _update(jobs: Sequence[Job], images: Tensor, start: int) -> None:
    """Hand one batch to all jobs; jobs with one extractor and as many images share its features."""
    done: dict[tuple[int, int], dict[str, Tensor]] = {}
    for job in jobs:
        count = len(images) if job.n is None else min(len(images), max(job.n - start, 0))
        if count == 0:
            continue
        key = (id(job.extractor), count)
        if key not in done:
            with full_precision(job.extractor.device):
                done[key] = job.extractor.features(images[:count].to(job.extractor.device))
        job.collector.update(done[key][job.layer], start)
