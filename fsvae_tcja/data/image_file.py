"""One image file: what its header says, and its pixels at a given size."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from einops import rearrange
from PIL import ExifTags, Image, ImageFile, ImageOps, PngImagePlugin, TiffImagePlugin
from torch import Tensor

from ..utils.memory import check_fits
from ..utils.printable import shown

NOT_READ = ("EPS", "MPEG")  # Pillow hands EPS to Ghostscript, and knows of MPEG no more than its size
BACKGROUND = "white"
GREY_MODES = ("1", "L", "LA", "I", "F")  # and I;16, I;16B, ...
WHITE_IS_ZERO = 0  # of TIFF's PhotometricInterpretation
LYING = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
EXIF = {  # where Pillow keeps it, and how its chunk of a PNG begins
    "exif": b"eXIf",
    "xmp": b"iTXtXML:com.adobe.xmp",
    "Raw profile type exif": b"zTXtRaw profile type exif",
}
ALPHA = f"with an alpha channel or transparent colour, drawn on {BACKGROUND}"
FRAMES = "of several frames, of which the first is taken"
TURNED = "turned as their EXIF orientation says"
DEEP = "of 16 bits, 0..65535 divided by 257"
DEEP_COLOURS = "of 16 bits a channel, of which Pillow keeps the upper 8"
FLOATS = "of floating point, 0..1 times 255"
CONVERSIONS = {
    "1": "of 1 bit, as 0 and 255",
    "I": DEEP,
    "F": FLOATS,
    "CMYK": "in CMYK, brought to RGB without a colour profile",
    "YCbCr": "in YCbCr, brought to RGB",
    "LAB": "in LAB, brought to RGB",
    "HSV": "in HSV, brought to RGB",
}


class Header(NamedTuple):
    """What an image file says of itself.

    Attributes:
        grey: whether it stores one channel (and perhaps transparency).
        width, height: in pixels, after it is turned as EXIF says.
        conversions: what reading it does to its pixels, in words; nothing for grey levels and RGB of 8 bits.
    """

    grey: bool
    width: int
    height: int
    conversions: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height


@cache
def formats() -> dict[str, list[str]]:
    """The formats that Pillow decodes by itself, in the order in which it tries them, with their extensions."""
    Image.preinit()  # the usual ones first
    Image.init()
    extensions = Image.registered_extensions().items()
    return {
        name: [extension for extension, of in extensions if of == name or (name, of) == ("JPEG", "MPO")]
        for name in Image.ID
        if name not in NOT_READ and not _is_stub(Image.OPEN[name][0])
    }


def _is_stub(reader: object) -> bool:
    """Whether Pillow knows the format but leaves the decoding to others."""
    return isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)


@cache
def extensions() -> frozenset[str]:
    """Extensions of the image files that are read, in small letters: every one that Pillow has for what it decodes."""
    return frozenset(extension for all_of_one in formats().values() for extension in all_of_one)


def is_image(name: str) -> bool:
    """Whether a file is an image by the extension of its name."""
    return Path(name).suffix.lower() in extensions()


def read_rgb(path: Path) -> Image.Image:
    """Decode an image as `read_image`, in its own size and RGB.

    Raises:
        ValueError: as `read_image`.
    """
    with _opened(path) as image:
        return _in_8_bits(ImageOps.exif_transpose(image)).convert("RGB")


def read_header(path: Path) -> Header:
    """The header of an image file; its pixels are not decoded.

    Raises:
        ValueError: the file cannot be read; the message names it.
    """
    with _opened(path) as image:
        width, height = image.size
        orientation = _orientation(image)
        if orientation in LYING and image.format != "TIFF":  # whose size Pillow gives turned
            width, height = height, width
        found = (
            CONVERSIONS.get(image.mode.partition(";")[0]),
            DEEP_COLOURS if ";16" in str(getattr(image, "tile", "")) and image.mode[0] not in "IF" else None,
            ALPHA if image.has_transparency_data else None,
            FRAMES if getattr(image, "is_animated", False) else None,
            TURNED if orientation > 1 else None,
        )
        conversions = tuple(one for one in found if one)
        return Header(image.mode.partition(";")[0] in GREY_MODES, width, height, conversions)


def _orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF or XMP have it, which may stand behind the pixels of a PNG."""
    known = bool(image.info.keys() & EXIF.keys())
    if isinstance(image, PngImagePlugin.PngImageFile) and not known and image.fp and not _has_exif(image.fp):
        return 1  # where `getexif` would decode it to see
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _has_exif(png: IO[bytes]) -> bool:
    """Whether a PNG holds EXIF or XMP, by the beginnings of its chunks."""
    place, chunk, kind = png.tell(), 8, b"IHDR"
    while kind and not kind.startswith((*EXIF.values(), b"IEND")):
        png.seek(chunk)
        length, kind = int.from_bytes(png.read(4), "big"), png.read(32)
        chunk += length + 12
    png.seek(place)
    return kind.startswith(tuple(EXIF.values()))


def read_image(path: Path, channels: int, size: int, crop: int | None = None) -> Tensor:
    """Decode an image to uint8 [channels, size, size].

    The centre of `crop` x `crop` pixels is cut out first (None: everything), then the shorter side brought to `size`
    (PIL bilinear) and the longer one cut at both ends. EXIF orientation is obeyed; of several frames the first is
    taken; what is transparent is drawn on white; levels of 16 bits are divided by 257, those of floating point
    multiplied by 255.

    Raises:
        ValueError: the file cannot be read or decoded, is smaller than `crop`, or has levels of 16 bits outside
            0..65535 or of floating point outside 0..1; the message names it.
    """
    with _opened(path) as image:
        pixels = _in_8_bits(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    if crop is not None:
        if min(pixels.size) < crop:
            raise ValueError(
                f"{shown(path)} has {pixels.width} x {pixels.height} pixels, fewer than the {crop} x {crop} that are "
                "cut out of its centre; put the images there as they were published"
            )
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


def _check_levels(image: Image.Image) -> None:
    """Refuse levels of 16 bits that fall as the image gets brighter, which Pillow leaves as they are."""
    if not (isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I;16")):
        return
    if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
        raise ValueError("its 0 is white (WhiteIsZero) in 16 bits, expected black: save it so")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel and nothing transparent."""
    if image.mode[0] in "IF":
        levels = np.asarray(image)
        pixels = Image.fromarray(_levels(levels, 1.0 if image.mode == "F" else 65535))
        key = image.info.get("transparency")  # the level that is transparent
        return pixels if key is None else _on_background(pixels, Image.fromarray(levels != key))
    if not image.has_transparency_data:
        return image
    pixels = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", pixels.size, BACKGROUND), pixels)


def _on_background(pixels: Image.Image, opaque: Image.Image) -> Image.Image:
    return Image.composite(pixels, Image.new(pixels.mode, pixels.size, BACKGROUND), opaque)


def _levels(values: np.ndarray, highest: float) -> np.ndarray:
    """Levels in 0..highest as uint8, rounded."""
    if not (values.min() >= 0 and values.max() <= highest):  # or not a number
        raise ValueError(f"its pixels go from {values.min()} to {values.max()}, expected 0 to {highest:g}")
    return np.rint(values * (255 / highest)).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=list(formats())) as image:
            _check_pixels(image)
            _check_levels(image)
            yield image
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, struct.error, ...
        raise ValueError(
            f"cannot read the image {shown(path)}: {shown(error)}; repair, convert or remove it"
        ) from error
