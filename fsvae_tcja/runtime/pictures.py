"""PNG pictures: one image, a grid, pairs, a figure. Images are float in [-1, 1] or uint8, grey or RGB."""

import textwrap
from collections.abc import Iterable
from itertools import cycle
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..data.pixels import to_uint8
from ..utils.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # slow to import

CELL = 96  # pixels: smaller images are enlarged to about this
GAP = 4  # pixels between cells and around them
PAPER = 255  # white
TITLE_SIZE = 18  # pixels, at least
TITLE_PART = 28  # a wider picture's title has this part of its width: it is read where the picture is shrunk
LABELS = ("original", "decoded")  # of a pair, beside its rows
LABEL_SIZE = 22  # pixels: the longer label fits into CELL


def save_png(image: Tensor, path: str | Path) -> None:
    """Write one image [C, H, W] as it is."""
    if image.dim() != 3:
        raise ValueError(f"expected one image [C, H, W], found shape {list(image.shape)}")
    _write(_picture(_pixels(image[None])[0]), path)


def save_grid(
    images: Tensor, path: str | Path, columns: int | None = None, scale: int | None = None, title: str | None = None
) -> None:
    """Write images [N, C, H, W] in rows, left to right, under an optional title.

    Args:
        images: float in [-1, 1] or uint8; C is 1 or 3, N >= 1.
        path: of the PNG file; missing folders are made.
        columns: images in a row; None makes the grid about square.
        scale: each pixel becomes scale x scale; None enlarges small images to about CELL pixels.
        title: text above the grid, wrapped to its width.

    Raises:
        ValueError: wrong shape, type or range, or a path that does not end in .png.
    """
    _write(grid(images, columns, scale, title), path)


def grid(images: Tensor, columns: int | None = None, scale: int | None = None, title: str | None = None) -> Image.Image:
    """The picture that `save_grid` writes."""
    pixels = _pixels(images)
    columns = columns or ceil(sqrt(len(pixels)))
    scale = scale or max(1, round(CELL / pixels.shape[-1]))
    return _titled(_picture(_grid(_enlarge(pixels, scale), columns)), title)


def save_pairs(
    originals: Tensor, reconstructions: Tensor, path: str | Path, columns: int | None = None, title: str | None = None
) -> None:
    """Write rows of originals [N, C, H, W], each above its reconstruction, which stands beside the rows. Otherwise as
    `save_grid`."""
    if originals.shape != reconstructions.shape:
        raise ValueError(
            f"originals {list(originals.shape)} and reconstructions {list(reconstructions.shape)} differ in shape"
        )
    above, below = _pixels(originals), _pixels(reconstructions)
    scale = max(1, round(CELL / above.shape[-1]))
    above, below = _enlarge(above, scale), _enlarge(below, scale)
    line, space = (above.new_full((*above.shape[:2], n, above.shape[3]), PAPER) for n in (GAP // 2, 2 * GAP))
    pairs = torch.cat([above, line, below, space], dim=2)
    columns = columns or ceil(sqrt(2 * len(pairs)))
    picture = _picture(_grid(pairs, columns))
    height, pitch = above.shape[2], pairs.shape[2] + GAP
    tops = [top for first in range(GAP, picture.height, pitch) for top in (first, first + height + GAP // 2)]
    labels = list(zip(tops, cycle(LABELS), strict=False))
    _write(_titled(_labelled(picture, labels, height), title), path)


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write what Matplotlib draws of a figure, whole or not at all, with nothing cut off; missing folders are made.

    Raises:
        ValueError: a path that does not end in .png.
    """
    with replacing(path, ".png") as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight")


def _pixels(images: Tensor) -> Tensor:
    """[N, C, H, W] checked, as uint8 on the CPU."""
    if images.dim() != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        raise ValueError(f"expected images [N, C, H, W] with N >= 1 and C = 1 or 3, found shape {list(images.shape)}")
    images = images.detach().cpu()
    return images if images.dtype == torch.uint8 else to_uint8(images)


def _enlarge(pixels: Tensor, scale: int) -> Tensor:
    return pixels.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def _grid(pixels: Tensor, columns: int) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [C, rows (H + GAP) + GAP, columns (W + GAP) + GAP]."""
    n, c, h, w = pixels.shape
    columns = min(columns, n)
    rows = ceil(n / columns)
    cells = pixels.new_full((rows * columns, c, h + GAP, w + GAP), PAPER)
    cells[:n, :, :h, :w] = pixels
    cells = cells.view(rows, columns, c, h + GAP, w + GAP).permute(2, 0, 3, 1, 4)
    return F.pad(cells.reshape(c, rows * (h + GAP), columns * (w + GAP)), (GAP, 0, GAP, 0), value=PAPER)


def _picture(pixels: Tensor) -> Image.Image:
    """uint8 [C, H, W] -> image."""
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def _labelled(picture: Image.Image, labels: Iterable[tuple[int, str]], height: int) -> Image.Image:
    """The picture with text left of rows of this height, which is read upwards: where a row begins, and its text."""
    font, margin = ImageFont.load_default(max(6, min(LABEL_SIZE, LABEL_SIZE * height // CELL))), LABEL_SIZE + GAP
    canvas = Image.new(picture.mode, (margin + picture.width, picture.height), "white")
    canvas.paste(picture, (margin, 0))
    for top, text in labels:
        strip = Image.new(picture.mode, (height, margin), "white")
        ImageDraw.Draw(strip).text((height / 2, margin / 2), text, "black", font, anchor="mm")
        canvas.paste(strip.transpose(Image.Transpose.ROTATE_90), (0, top))
    return canvas


def _titled(picture: Image.Image, title: str | None) -> Image.Image:
    """The picture under `title`, wrapped to its width."""
    if not title:
        return picture
    font = ImageFont.load_default(max(TITLE_SIZE, picture.width // TITLE_PART))
    characters = max(8, int(picture.width / font.getlength(title) * len(title)) - 2)
    text = "\n".join(textwrap.wrap(title, characters))
    *_, right, bottom = ImageDraw.Draw(picture).multiline_textbbox((2 * GAP, 2 * GAP), text, font)
    height = ceil(bottom) + 2 * GAP
    canvas = Image.new(picture.mode, (max(picture.width, ceil(right) + 2 * GAP), height + picture.height), "white")
    canvas.paste(picture, (0, height))
    ImageDraw.Draw(canvas).multiline_text((2 * GAP, 2 * GAP), text, "black", font)
    return canvas


def _write(picture: Image.Image, path: str | Path) -> None:
    with replacing(path, ".png") as temporary:
        picture.save(temporary, format="PNG")
