"""What an image is at the door of a score: uint8 in 0..255, or floating point in [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fsvae_tcja.data.pixels import to_uint8

TRAINED = (32, 64)
"""Height and width of the images of networks that are trained here."""
ValueRange = Literal["-1..1", "0..1", "0..255"]
RANGES: dict[str, tuple[float, float]] = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}


def canonical(images: Tensor, value_range: ValueRange | None = None) -> Tensor:
    """Images [B, C, H, W] of a stated range -> the same, floating point brought to [-1, 1], uint8 to 0..255.

    Raises:
        ValueError: not images (see `check_images`), NaN or infinite pixels, floating point pixels without a stated
            range, or pixels outside of the stated one.
    """
    check_images(images)
    if images.dtype == torch.uint8:
        return _eight_bits(images, value_range)
    if value_range is None:
        raise ValueError(
            f"the range of floating point pixels is not stated: say value_range (--value-range; of a reference "
            f"reference_range, --reference-range), {' or '.join(RANGES)}"
        )
    images = images if images.dtype == torch.float64 else images.float()
    if images.numel() == 0:
        return images
    if not images.isfinite().all():
        raise ValueError("the images hold NaN or infinite pixels: the generator diverged")
    low, high = RANGES[value_range]
    found = images.min().item(), images.max().item()
    if found[0] < low or found[1] > high:
        raise ValueError(
            f"expected floating point pixels in {value_range}, found {found[0]:.4g} to {found[1]:.4g}; "
            f"state their range (value_range, one of {', '.join(RANGES)}) or rescale them"
        )
    return images if (low, high) == (-1, 1) else (images - low) * (2 / (high - low)) - 1


def _eight_bits(images: Tensor, value_range: ValueRange | None) -> Tensor:
    """uint8 of a stated range -> uint8 in 0..255: 0 and 1 become 0 and 255 where 0..1 is stated."""
    if value_range in (None, "0..255") or images.numel() == 0:
        return images
    highest = int(images.max())
    if value_range == "0..1" and highest <= 1:
        return images * 255
    raise ValueError(
        f"pixels in {value_range} were stated, found 8-bit ones of up to {highest}: these are 0..255 without being "
        "stated; leave the range out (value_range, --value-range; of a reference reference_range, --reference-range)"
    )


@dataclass
class PixelExtremes:
    """The lowest and the highest pixel of canonical images, by their type, and what is odd about them."""

    name: str
    """What the images are called."""
    value_range: ValueRange | None
    """Stated range of floating point pixels."""
    highest: int | None = None
    """Of 8-bit pixels; None: there were none."""
    low: float = math.inf
    high: float = -math.inf

    def update(self, images: Tensor) -> None:
        """Take canonical images [B, C, H, W]."""
        low, high = (value.item() for value in images.aminmax())
        if images.dtype == torch.uint8:
            self.highest = max(self.highest or 0, int(high))
        else:
            self.low, self.high = min(self.low, low), max(self.high, high)

    def merge(self, other: PixelExtremes) -> None:
        """Take what another process has seen."""
        if other.highest is not None:
            self.highest = max(self.highest or 0, other.highest)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def notes(self) -> tuple[str, ...]:
        """What a reader must know: pixels that look like those of another range."""
        if self.highest is not None and self.highest <= 1:
            return (
                f"{self.name}: the highest 8-bit pixel is {self.highest} of 255, all but black; pixels of 0 and 1 have "
                "to state their range (--value-range 0..1)",
            )
        if self.high - self.low > 1 or self.high < self.low:  # of -1..1, half is 1
            return ()
        low, high = RANGES[self.value_range or "-1..1"]
        found = (low + (value + 1) / 2 * (high - low) for value in (self.low, self.high))
        lowest, highest = (f"{value:.3g}" for value in found)
        return (
            f"{self.name}: the pixels reach from {lowest} to {highest}, half of the stated {self.value_range} or less: "
            "see whether another range is meant",
        )


def check_images(images: Tensor, channels: int | None = None, size: int | None = None) -> None:
    """Refuse what is not a batch of images [B, C, H, W], C 1 or 3, uint8 or floating point.

    Args:
        images: the batch.
        channels: the C that is needed, None for either.
        size: the height and width that are needed, None for any.

    Raises:
        ValueError: another shape or type.
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"expected images [B, C, H, W] with C = 1 or 3, found shape {list(images.shape)}")
    if channels is not None and images.shape[1] != channels:
        raise ValueError(
            f"the extractor takes {channels}-channel images, found {images.shape[1]} channels; convert the images, or "
            "train a network on such ones (fsvae-tcja eval train-fad, train-classifier)"
        )
    if size is not None and images.shape[2:] != (size, size):
        height, width = images.shape[2:]
        trained = (
            f", or train a network on such ones (fsvae-tcja eval train-fad, train-classifier DATA --size {height})"
        )
        raise ValueError(
            f"the extractor takes {size} x {size} images, found {height} x {width}; resize them first (folders and "
            f"data sets: size, --size {size}){trained if height == width and height in TRAINED else ''}"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"expected images of uint8 or floating point type, found {images.dtype}")


def as_uint8(images: Tensor) -> Tensor:
    """Canonical images -> uint8; floating point is rounded to the nearest of the 256 levels."""
    return images if images.dtype == torch.uint8 else to_uint8(images)


def as_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Canonical images -> [-1, 1] in a type of its own: x / 127.5 - 1 of 8 bits, computed in that type."""
    return images.to(dtype) / 127.5 - 1 if images.dtype == torch.uint8 else images.to(dtype)


def as_levels(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Canonical images -> 0..255 in a floating point type, not rounded."""
    return images.to(dtype) if images.dtype == torch.uint8 else (images.to(dtype) + 1) * 127.5


def as_grey(images: Tensor) -> Tensor:
    """RGB [B, 3, H, W] with three equal channels, as many programs save grey images -> [B, 1, H, W]; others stay."""
    equal = images.shape[1] == 3 and bool((images == images[:, :1]).all())
    return images[:, :1] if equal else images


def as_rgb(images: Tensor) -> Tensor:
    """[B, 1 or 3, H, W] -> [B, 3, H, W]: grey is repeated."""
    return images.expand(-1, 3, -1, -1)


def concatenated(parts: Sequence[Tensor], what: str) -> Tensor:
    """The images of these parts of `what`, one after the other.

    Raises:
        ValueError: of several shapes or types.
    """
    kinds = {(part.dtype, *part.shape[1:]) for part in parts}
    if len(kinds) > 1:
        found = " and ".join(sorted(f"{list(shape)} {str(dtype).removeprefix('torch.')}" for dtype, *shape in kinds))
        raise ValueError(f"the images of {what} must be of one shape and type, found {found}; bring them to one")
    return torch.cat([*parts])


def regroup(batches: Iterable[Tensor], batch: int, n: int | None = None) -> Iterator[Tensor]:
    """The first n images of a stream (None: all), in order, `batch` at a time; the last batch may be smaller.

    Raises:
        ValueError: the stream ends before n images, or has some of several shapes or types.
    """
    held: list[Tensor] = []
    waiting = taken = 0
    for images in batches:
        images = images if n is None else images[: n - taken]
        taken += len(images)
        held.append(images)
        waiting += len(images)
        if waiting >= batch:
            joined = concatenated(held, "a stream")
            whole = waiting - waiting % batch
            yield from joined[:whole].split(batch)
            held, waiting = [joined[whole:]], waiting % batch
        if taken == n:
            break
    if n is not None and taken < n:
        raise too_few(n, taken)
    if waiting:
        yield concatenated(held, "a stream")


def too_few(asked: int, found: int) -> ValueError:
    return ValueError(
        f"{asked} images were asked for, only {found} were found; supply more or, where the protocol leaves the number "
        "free, ask for fewer (n, --n-images)"
    )
