"""Drawing images from a trained model, one stream of random numbers per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..runtime.modes import evaluated
from ..utils.processes import gather_to_first, rank, world
from .noise import Streams, check_seed
from .replay import records, replayed

if TYPE_CHECKING:
    from .latent import LatentModule
    from .model import FSVAE

# A pass is padded to whole blocks of images: for one or two images the libraries sum in another order, one ulp moves a
# membrane over its threshold, and the image would depend on the batch size.
BLOCK = 16


def padded(x: Tensor, axis: int, size: int | None = None) -> Tensor:
    """x with zeros behind, up to `size` images along `axis`; None: up to whole blocks."""
    missing = -x.shape[axis] % BLOCK if size is None else size - x.shape[axis]
    return torch.cat([x, x.new_zeros(*x.shape[:axis], missing, *x.shape[axis + 1 :])], dim=axis)


def size_of_pass(n: int, batch_size: int, device: torch.device) -> int:
    """Images to which a pass of n is padded, n <= batch_size: whole blocks.

    Where passes are recorded these are 1, 2, 4, ... blocks, or `batch_size` images: sizes that come again, and so few
    that the memory of all recordings is at most three times that of the largest.
    """
    blocks = -(-n // BLOCK)
    if records(device):
        blocks = min(1 << (blocks - 1).bit_length(), -(-batch_size // BLOCK))
    return blocks * BLOCK


def noise_of(model: FSVAE, seed: int, first: int, n: int) -> Tensor:
    """The noise of images first..first+n-1 of a seed, on the model's device: image i depends on (seed, i) alone."""
    return model.latent.noise(Streams(seed, first, n, next(model.parameters()).device))


def stream(
    model: FSVAE,
    n: int,
    seed: int = 0,
    *,
    batch_size: int = 64,
    noise: Tensor | None = None,
    labels: Tensor | None = None,
    first: int = 0,
    temperature: float = 1.0,
    together: bool = False,
) -> Iterator[Tensor]:
    """Draw images from the prior batch by batch: [B, C, H, W] in [-1, 1] on the CPU, B <= batch_size.

    Arguments as for `sample`, which puts the batches together. Wrong ones raise a ValueError at once.

    With `together` each of several processes draws a batch in turn, and the first one gets the images of all; every
    process reads the iterator to its end.
    """
    if n < 1 or batch_size < 1:
        raise ValueError(f"n and batch_size must be >= 1, found n={n}, batch_size={batch_size}")
    check_seed(seed)
    if noise is not None:
        noise = model.latent.check_noise(noise, n)
    if labels is not None:
        _check_labels(labels, n, model.latent)
    model.latent.tempered(torch.empty(0), temperature)  # a wrong one is refused here
    parts = [range(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    drawn = partial(_stream, model, seed, noise, labels, first, temperature, batch_size)
    return _in_turn(drawn, parts) if together else drawn(parts)


def _in_turn(drawn: Callable[[list[range]], Iterator[Tensor]], parts: list[range]) -> Iterator[Tensor]:
    """The batches of these images, in the first process, each drawn by one of them."""
    own = drawn(parts[rank() :: world()])
    for _ in range(0, len(parts), world()):
        yield from gather_to_first(next(own, None))


def classes_of(latent: LatentModule) -> int:
    """How many labels `sample` takes, 0, 1, ...; 0: none."""
    return latent.label_counts.counts.shape[1] if latent.label_counts else latent.classes


def _check_labels(labels: object, n: int, latent: LatentModule) -> None:
    counted, classes = latent.label_counts, classes_of(latent)
    if not classes:
        raise ValueError(
            "this model draws without labels: it was trained without them; train one that knows the classes of its "
            "images: fsvae-tcja train PRESET --conditional"
        )
    wanted = f"labels must be int64 [{n}] in 0..{classes - 1}"
    if not isinstance(labels, Tensor):
        one = isinstance(labels, int)
        made = f"torch.full(({n},), {labels})" if one else "torch.tensor(labels)"
        raise ValueError(f"{wanted}, found {labels if one else type(labels).__name__}; give {made}")
    if labels.dtype != torch.int64 or list(labels.shape) != [n]:
        raise ValueError(f"{wanted}, found {labels.dtype} {list(labels.shape)}")
    if labels.min() < 0 or labels.max() >= classes:
        found = sorted({labels.min().item(), labels.max().item()})
        raise ValueError(f"{wanted}, found {' to '.join(map(str, found))}")
    if counted and len(absent := labels.cpu()[~counted.counts.any(0)[labels.cpu()]]):
        raise ValueError(f"{wanted} that a training image had, found {absent[0].item()}, which none had")


def _stream(
    model: FSVAE,
    seed: int,
    noise: Tensor | None,
    labels: Tensor | None,
    first: int,
    temperature: float,
    batch_size: int,
    parts: list[range],
) -> Iterator[Tensor]:
    device = next(model.parameters()).device
    for start, b in ((part.start, len(part)) for part in parts):
        drawn = noise_of(model, seed, first + start, b) if noise is None else noise[:, start : start + b]
        tempered = model.latent.tempered(drawn, temperature)
        size = size_of_pass(b, batch_size, device)
        kinds = None if labels is None else model.latent.kinds_for(labels[start : start + b], drawn)
        given = None if kinds is None else padded(kinds, 0, size).to(device)
        with evaluated(model):
            images = _drawn(model, padded(tempered, 1, size).to(device), given)[:b].cpu()
        yield images


@partial(replayed, warm=1)  # sizes that come once are few
def _drawn(model: FSVAE, noise: Tensor, kinds: Tensor | None) -> Tensor:
    """Images of whole blocks of noise, on the model's device."""
    given = [noise] if kinds is None else [noise, kinds]
    return model.decode(model.latent.sample(*given))


def sample(
    model: FSVAE,
    n: int,
    seed: int = 0,
    *,
    batch_size: int = 64,
    noise: Tensor | None = None,
    labels: Tensor | None = None,
    first: int = 0,
    temperature: float = 1.0,
) -> Tensor:
    """Draw images from the prior.

    Args:
        model: runs in eval mode, by its running statistics; its mode is restored afterwards.
        n: how many images.
        seed: random seed. Image i depends on (seed, i) alone, not on n or batch_size: on the CPU bit for bit; on a GPU
            the libraries may sum in another order for another batch.
        batch_size: images per pass; costs memory, changes nothing else.
        noise: of n images, as the latent's `noise` gives it, instead of the seed's: replays a run.
        labels: int64 [n], of which class each image is to be, with a latent that knows classes, or that counted them in
            its clusters and then draws from those where the class is most of the images (`latent.label_counts.purity`
            says how much). None: each class as often as the training had it.
        first: number of the first image.
        temperature: > 0; below 1 likelier codes, above 1 more various ones. With the latent `Escape`.

    Returns:
        images [n, C, H, W] in [-1, 1], on the CPU.

    Raises:
        ValueError: n, batch_size or seed out of range, noise or labels of another shape or range, or labels for a
            latent that knows none, or one that no training image had, or a temperature that the latent does not take.
    """
    images = stream(
        model, n, seed, batch_size=batch_size, noise=noise, labels=labels, first=first, temperature=temperature
    )
    return torch.cat(list(images))


def draw_codes(model: FSVAE, n: int, seed: int = 0) -> Tensor:
    """The codes z [T, n, L] that `sample` decodes for this seed, on the model's device."""
    with evaluated(model):
        return model.latent.sample(padded(noise_of(model, seed, 0, n), 1))[:, :n]
