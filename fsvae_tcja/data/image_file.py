"""One image file: what its header says, and its pixels at a given size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps
from torch import Tensor

from ..utils.memory import check_fits

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
GREY_MODES = frozenset({"1", "L", "LA"})


class Header(NamedTuple):
    """What an image file says of itself: whether it stores one channel (and perhaps transparency), and its pixels."""

    grey: bool
    width: int
    height: int


def read_header(path: Path) -> Header:
    """The header of an image file; its pixels are not decoded.

    Raises:
        ValueError: the file cannot be read, or has other than 8 bits per channel; the message names it.
    """
    with _opened(path) as image:
        return Header(image.mode in GREY_MODES, *image.size)


def read_image(path: Path, channels: int, size: int, crop: int | None = None) -> Tensor:
    """Decode an image to uint8 [channels, size, size].

    The centre of `crop` x `crop` pixels is cut out first (None: everything), then the shorter side brought to `size`
    (PIL bilinear) and the longer one cut at both ends. EXIF orientation is obeyed, transparency dropped.

    Raises:
        ValueError: the file cannot be read or decoded; the message names it.
    """
    with _opened(path) as image:
        pixels = ImageOps.exif_transpose(image)
        if "transparency" in pixels.info:  # a transparent palette cannot be converted to RGB at once
            pixels = pixels.convert("RGBA")
        pixels = pixels.convert("L" if channels == 1 else "RGB")
    if crop is not None:
        left, top = (round((side - crop) / 2) for side in pixels.size)
        pixels = pixels.crop((left, top, left + crop, top + crop))
    check_fits(2 * size * size * channels, f"an image of {size:,} x {size:,} pixels", "take a smaller size")
    pixels = ImageOps.fit(pixels, (size, size), Image.Resampling.BILINEAR)
    array = torch.from_numpy(np.array(pixels)).view(size, size, channels)
    return rearrange(array, "h w c -> c h w")


def _check_pixels(image: Image.Image) -> None:
    """Refuse what Pillow warns of: a small file that fills the memory when it is decoded."""
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        raise ValueError(f"it has {image.width:,} x {image.height:,} pixels, Pillow's limit is {most:,}")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            _check_pixels(image)
            if image.mode[0] in "IF":
                raise ValueError(f"its pixels have mode {image.mode}, expected 8 bits per channel")
            yield image
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, struct.error, ...
        raise ValueError(f"cannot read the image {path}: {error}; repair or remove it") from error
