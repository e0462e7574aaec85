"""Images are what a model sees of them: the same pixels are one image, in whatever file; other pixels are another."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from eval.opening import open_images
from fsvae_tcja.data import copies, folder, inspect_folder, load_images, split_off
from fsvae_tcja.data.image_file import read_rgb

from .test_images import noise

GREY, COLOURS = noise(8, 12), noise(8, 12, 3)
FEW = noise(8, 12) % 5  # indices of a palette
PALETTE = noise(5, 3)
ONE_WHITE = np.where([[i == 2] for i in range(5)], 255, PALETTE).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 257


def encoded(image, kind, **options) -> bytes:
    """An image, or its pixels, as the bytes of a file."""
    file = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def with_text(pixels) -> bytes:
    info = PngInfo()
    info.add_text("Software", "another program")
    return encoded(pixels, "PNG", pnginfo=info)


def with_comment(jpeg: bytes) -> bytes:
    text = b"another program"
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]


def bmp_from_the_top(pixels) -> bytes:
    """A BMP of 8 x 12 whose negative height says that it begins with the upper row; others begin with the lower one."""
    head = struct.pack("<2sI4xI", b"BM", 54 + 8 * 36, 54) + struct.pack("<IiiHHI20x", 40, 12, -8, 1, 24, 0)
    return head + pixels[:, :, ::-1].tobytes()


def paletted(levels, palette, **options) -> bytes:
    image = Image.fromarray(levels)
    image.putpalette(palette.tobytes())
    return encoded(image, "PNG", **options)


def turned(pixels, orientation=6) -> bytes:
    """The pixels in a PNG which says that they have to be turned back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(np.rot90(pixels), "PNG", exif=exif)


def exif_last(png: bytes) -> bytes:
    """A PNG with its EXIF behind the pixels, where exiftool writes it."""
    start = png.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4], "big")
    last = png.index(b"IEND") - 4
    return png[:start] + png[end:last] + png[start:end] + png[last:]


def png_of_16_bits(grey) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = grey.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    parts = [(b"IHDR", struct.pack(">2I5B", width, height, 16, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b"")))


def with_alpha(pixels, alpha) -> bytes:
    return encoded(np.dstack([pixels, alpha]), "PNG")


HALF = np.where(noise(8, 12, seed=1) < 128, 0, 255).astype(np.uint8)  # alpha
ON_WHITE = np.where(HALF[:, :, None] == 0, 255, COLOURS).astype(np.uint8)
JPEG = encoded(COLOURS, "JPEG", quality=90)
OTHER = COLOURS.copy()
OTHER[5, 7, 1] ^= 1

EQUAL = {
    "compressed more": (encoded(GREY, "PNG", compress_level=0), encoded(GREY, "PNG", compress_level=9)),
    "metadata": (encoded(GREY, "PNG"), with_text(GREY)),
    "JPEG, metadata": (JPEG, with_comment(JPEG)),
    "JPEG, progressive": (JPEG, encoded(COLOURS, "JPEG", quality=90, progressive=True)),
    "BMP": (encoded(COLOURS, "BMP"), bmp_from_the_top(COLOURS)),
    "TIFF": (encoded(COLOURS, "TIFF"), encoded(COLOURS, "TIFF", compression="tiff_lzw")),
    "format": (encoded(COLOURS, "PNG"), encoded(COLOURS, "WEBP", lossless=True)),
    "palette": (encoded(PALETTE[FEW], "PNG"), paletted(FEW, PALETTE)),
    "grey in colours": (encoded(GREY, "PNG"), encoded(np.dstack([GREY] * 3), "PNG")),
    "opaque alpha": (encoded(COLOURS, "PNG"), with_alpha(COLOURS, np.full((8, 12), 255, np.uint8))),
    "hidden colours": (with_alpha(COLOURS, HALF), with_alpha(ON_WHITE, HALF)),
    "drawn on white": (with_alpha(COLOURS, HALF), encoded(ON_WHITE, "PNG")),
    "transparent colour": (paletted(FEW, PALETTE, transparency=2), paletted(FEW, ONE_WHITE)),
    "16 bits": (encoded(GREY, "PNG"), png_of_16_bits(DEEP)),
    "lower of 16 bits": (png_of_16_bits(DEEP), png_of_16_bits(DEEP | 9)),
    "turned": (encoded(COLOURS, "PNG"), turned(COLOURS)),
    "turned, EXIF last": (encoded(COLOURS, "PNG"), exif_last(turned(COLOURS))),
}  # fmt: skip
DIFFERENT = {
    "one level of one pixel": (encoded(COLOURS, "PNG"), encoded(OTHER, "PNG")),
    "format": (encoded(COLOURS, "PNG"), encoded(OTHER, "BMP")),
    "alpha": (with_alpha(COLOURS, HALF), with_alpha(COLOURS, HALF // 2)),
    "palette": (paletted(FEW, PALETTE), paletted(FEW, PALETTE ^ 1)),
    "16 bits": (encoded(GREY, "PNG"), png_of_16_bits(DEEP // 2)),
    "turned": (turned(COLOURS), turned(COLOURS, 8)),
    "a side": (encoded(np.zeros((8, 12), np.uint8), "PNG"), encoded(np.zeros((12, 8), np.uint8), "PNG")),
}  # fmt: skip


def written(tmp_path, files):
    """Their bytes in files; Pillow knows formats by contents, not by names."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("kind", EQUAL)
def test_the_same_pixels_are_one_image(tmp_path, kind):
    one, other = EQUAL[kind]
    assert one != other
    written(tmp_path, {"train/1.png": one, "train/2.png": encoded(noise(8, 12, seed=9), "PNG"), "test/3.png": other})
    assert np.array_equal(*(np.asarray(read_rgb(tmp_path / name)) for name in ("train/1.png", "test/3.png")))
    found = [note for note in inspect_folder(tmp_path).notes if "copies" in note]
    assert found == [f"{tmp_path}: copies of other images: 1; outside of train, but also in it: 1"]


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_pixels_are_another_image(tmp_path, kind):
    one, other = DIFFERENT[kind]
    written(tmp_path, {"train/1.png": one, "test/3.png": other})
    assert not [note for note in inspect_folder(tmp_path).notes if "copies" in note]


def test_copies_of_any_kind_stay_on_one_side(tmp_path):
    """30 images, each as PNG in two compressions, as BMP and with metadata, under names that a split would scatter."""
    for i in range(30):
        pixels = noise(8, 8, seed=i)
        files = encoded(pixels, "PNG"), encoded(pixels, "PNG", compress_level=0), encoded(pixels, "BMP")
        written(tmp_path, {f"{i}-{k}.png": content for k, content in enumerate((*files, with_text(pixels)))})
    train, test = load_images(tmp_path, "train", size=None), load_images(tmp_path, "test", size=None)
    parts = [*split_off(train, 0.25), test]
    assert [len(part) for part in parts] == [84, 24, 12]
    seen = [{image.numpy().tobytes() for image, _ in part} for part in parts]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert [len(images) for images in seen] == [21, 6, 3]


def test_beyond_a_number_of_pixels_bytes_are_compared(tmp_path, monkeypatch):
    files = {"a.png": EQUAL["metadata"][0], "b.png": EQUAL["metadata"][1], "c.png": EQUAL["metadata"][0]}
    written(tmp_path, files)
    monkeypatch.setattr(copies, "DECODED", 2 * 96 - 1)  # two different files of 8 x 12
    assert inspect_folder(tmp_path).notes == (
        f"{tmp_path}: copies of other images: 1; they stay on one side of a split",
        f"{tmp_path}: copies are known by their bytes alone: 192 pixels are more than the 191 that are compared",
    )
    monkeypatch.setattr(copies, "DECODED", 2 * 96)
    written(tmp_path, {"d.txt": b""})  # the folder is looked at anew
    assert f"{tmp_path}: copies of other images: 2; they stay on one side of a split" in inspect_folder(tmp_path).notes


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    written(tmp_path, {"a.png": encoded(GREY, "PNG"), "b.png": encoded(noise(8, 12, seed=1), "PNG")[:-30]})
    with pytest.raises(ValueError, match=r"cannot read the image .*b\.png: .*; repair, convert or remove it"):
        load_images(tmp_path, size=8)


# looked at once


@pytest.fixture
def looks(monkeypatch):
    """The files whose headers were read, and those whose pixels were decoded to be compared."""
    seen = {"headers": [], "pixels": []}
    read, decode = folder.read_header, copies.read_rgb
    monkeypatch.setattr(folder, "read_header", lambda path: (seen["headers"].append(path.name), read(path))[1])
    monkeypatch.setattr(copies, "read_rgb", lambda path: (seen["pixels"].append(path.name), decode(path))[1])
    return seen


def test_a_folder_is_looked_at_once(tmp_path, looks):
    """To train on it, to test, to cut off a validation split, and to score images of it against others of it."""
    names = ["train/1.png", "train/2.png", "test/3.png", "test/4.png"]
    written(tmp_path, {name: encoded(noise(8, 8, seed=i), "PNG") for i, name in enumerate(names)})
    for split, size in (("train", 8), ("test", 8), ("all", None), ("train", 16)):
        split_off(load_images(tmp_path, split, size=size), 0.5)
    source = open_images(f"{tmp_path}:test", size=8)
    other = source.sibling("train")
    assert (source.n, other.n, source.pixels) == (2, 2, None)
    assert open_images(tmp_path, size=16).pixels == "8 to 16, PIL bilinear"
    assert sorted(looks["headers"]) == sorted(looks["pixels"]) == ["1.png", "2.png", "3.png", "4.png"]


def test_a_changed_folder_is_looked_at_again(tmp_path, looks):
    written(tmp_path, {"a.png": encoded(noise(8, 8), "PNG"), "b.png": encoded(noise(8, 8, 3), "PNG")})
    assert inspect_folder(tmp_path).channels == 3 and inspect_folder(tmp_path).channels == 3
    assert len(looks["headers"]) == 2
    written(tmp_path, {"b.png": encoded(noise(8, 8), "PNG")})  # now a copy, and grey
    found = inspect_folder(tmp_path)
    assert found.channels == 1 and any("copies of other images: 1" in note for note in found.notes)
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    assert [name.name for name in inspect_folder(tmp_path).files["all"]] == ["b.png", "c.png"]
    (tmp_path / "notes.txt").write_text("")
    assert f"{tmp_path}: passed over: .txt (1)" in inspect_folder(tmp_path).notes


def test_sizes_are_those_of_the_split(tmp_path):
    files = {"train/1.png": noise(8, 8), "train/2.png": noise(6, 9), "test/3.png": noise(4, 4)}
    written(tmp_path, {name: encoded(pixels, "PNG") for name, pixels in files.items()})
    pixels = {split: open_images(f"{tmp_path}:{split}", size=4).pixels for split in ("train", "test", "all")}
    assert pixels["train"] == "2 sizes to 4, PIL bilinear, centre crop" and pixels["test"] is None
    assert pixels["all"] == "3 sizes to 4, PIL bilinear, centre crop"
    assert torch.equal(torch.tensor([*inspect_folder(tmp_path).sizes.values()]), torch.ones(3).long())
