"""Augmentation of training batches: images and frames of events alike, the same change at every step of a sample."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsvae_tcja.data.pixels import random_flip
from fsvae_tcja.utils.shares import drawn, known_share

from .losses import one_hot

DIRECTED_TURN = 45  # degrees, from which a movement to the right is rather one up


@dataclass(frozen=True)
class Augment:
    """What is done to training batches, in this order. Everything is off by default."""

    flip: bool = False
    """Mirror left to right with probability 1/2."""
    rotate: float = 0.0
    """Turn by an angle drawn from -rotate..rotate degrees, each pixel taking the value of its nearest source."""
    roll: int = 0
    """Shift by -roll..roll pixels, drawn for rows and for columns; what leaves on one side enters on the other."""
    cutout: int = 0
    """Side in pixels of a square that is blanked; its centre is drawn from the whole image."""
    event_drop: float = 0.0
    """Probability with which each event is dropped; for frames of events only."""
    mixup: float = 0.0
    """Mix each sample with one of the batch, weights drawn from Beta(mixup, mixup), labels alike; 0 for no mixing."""

    def __post_init__(self) -> None:
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"rotate must be in 0..180, found {self.rotate}")
        for name in ("roll", "cutout", "mixup"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or a larger finite number, found {getattr(self, name)}")
        if not 0 <= self.event_drop < 1:
            raise ValueError(f"event_drop must be in [0, 1), found {self.event_drop}")


OFF = Augment()


def check_fit(config: Augment, size: tuple[int, int], *, events: bool, directed: bool = False) -> None:
    """Raise a ValueError unless the augmentation fits the data.

    Args:
        config: the augmentation.
        size: (H, W) of the inputs.
        events: frames of events, or images.
        directed: whether what is mirrored or turned belongs to another class.
    """
    if max(config.roll, config.cutout) > min(size):
        raise ValueError(f"roll and cutout must fit into {size[0]} x {size[1]} pixels, found {config}")
    if config.event_drop and not events:
        raise ValueError("event_drop drops events, these are images; set it to 0")
    if directed and config.flip:
        raise ValueError("flip makes left of right, which are classes of this data set; set it to False")
    if directed and config.rotate >= DIRECTED_TURN:
        raise ValueError(
            f"the classes of this data set are directions: rotate must be below {DIRECTED_TURN} degrees, found "
            f"{config.rotate}"
        )


def augment(
    config: Augment, x: Tensor, labels: Tensor, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Augment a training batch.

    Args:
        config: what to do.
        x: float images [B, C, H, W] in [-1, 1], or counts of events [B, T, C, H, W].
        labels: int64 [B] in 0..classes - 1.
        classes: number of classes.
        generator: on the CPU; draws everything.

    Returns:
        x of the same shape, and targets float32 [B, classes], each row of which sums to 1.

    Raises:
        ValueError: another shape or type, on the CPU a label out of range, or as `check_fit`.
    """
    if x.dim() not in (4, 5) or not x.is_floating_point():
        raise ValueError(
            f"expected float images [B, C, H, W] or frames [B, T, C, H, W], found {x.dtype} {list(x.shape)}"
        )
    check_fit(config, (x.shape[-2], x.shape[-1]), events=x.dim() == 5)
    targets = one_hot(labels, classes)
    if config == OFF:
        return x, targets
    empty = -1.0 if x.dim() == 4 else 0.0  # black, or no events
    shape, x = x.shape, x.flatten(1, -3)  # [B, T C, H, W]: what happens to a sample happens at every step
    if config.flip:
        x = random_flip(x, generator)
    if config.rotate:
        x = rotate(x, _uniform(len(x), config.rotate, generator), empty)
    if config.roll:
        ends = -config.roll, config.roll + 1
        x = roll(x, drawn(lambda n: torch.randint(*ends, (n, 2), generator=generator), len(x), generator))
    if config.cutout:
        place = drawn(lambda n: torch.rand(n, 2, generator=generator), len(x), generator)
        x = cutout(x, config.cutout, place, empty)
    share = known_share(generator) if config.event_drop or config.mixup else None
    if share:  # these two depend on all samples of the batch
        x, targets = share.put(x), share.put(targets)
    if config.event_drop:
        x = drop_events(x, config.event_drop, generator)
    if config.mixup:
        x, targets = mixup(x, targets, config.mixup, generator)
    if share:
        x, targets = share.take(x), share.take(targets)
    return x.reshape(shape), targets


def _uniform(n: int, end: float, generator: torch.Generator) -> Tensor:
    """[n] from -end..end."""
    return (2 * drawn(lambda n: torch.rand(n, generator=generator), n, generator) - 1) * end


def rotate(x: Tensor, degrees: Tensor, empty: float) -> Tensor:
    """Turn each image of [B, C, H, W] counter-clockwise about its centre."""
    h, w = x.shape[-2:]
    angle = degrees.to(x.device).deg2rad()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # where pixel (x, y) of the result, in units of half the width and height, comes from
    source = torch.stack([cos, -sin * h / w, zero, sin * w / h, cos, zero], 1).view(-1, 2, 3)
    with torch.autocast(x.device.type, enabled=False):  # half precision would miss pixels
        grid = F.affine_grid(source, list(x.shape), align_corners=False)
        return F.grid_sample(x - empty, grid.to(x.dtype), mode="nearest", align_corners=False) + empty


def roll(x: Tensor, shifts: Tensor) -> Tensor:
    """Shift each image of [B, C, H, W] by its (rows, columns) of [B, 2], around the edges."""
    return torch.stack([image.roll(shift, (-2, -1)) for image, shift in zip(x, shifts.tolist(), strict=True)])


def cutout(x: Tensor, side: int, place: Tensor, empty: float) -> Tensor:
    """Blank a square about the pixel at the relative place [B, 2] in [0, 1) of each image; it may reach outside."""
    inside = []
    for axis in (0, 1):
        length = x.shape[2 + axis]
        first = (place[:, axis] * length).long() - side // 2
        distance = torch.arange(length) - first[:, None]
        inside.append((distance >= 0) & (distance < side))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # [B, 1, H, W]
    return x.masked_fill(square.to(x.device), empty)


def drop_events(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Thin counts: Binomial(count, 1 - probability). Counts that a rotation or roll left are whole."""
    counts = x[x > 0].float().cpu()
    kept = torch.binomial(counts, torch.full_like(counts, 1 - probability), generator=generator)
    x = x.clone()
    x[x > 0] = kept.to(x)
    return x


def mixup(x: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """w x + (1 - w) x', w of each sample from Beta(alpha, alpha), x' a random sample of the batch; targets alike."""
    seed = int(torch.randint(2**62, (), generator=generator))
    w = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, len(x))).to(targets)  # [B]
    other = torch.randperm(len(x), generator=generator).to(x.device)
    mixed = torch.lerp(x[other], x, w.to(x)[:, None, None, None])
    return mixed, torch.lerp(targets[other], targets, w[:, None])
