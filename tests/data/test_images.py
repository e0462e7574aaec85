import gzip
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.data.image_file import read_image
from fsvae_tcja.data.image_sets import IMAGE_SETS
from fsvae_tcja.data.load import data_root, load_images
from fsvae_tcja.data.pixels import random_flip, to_float, to_uint8
from fsvae_tcja.data.workers import batches

ROOT = Path(__file__).parents[2]
GREY = torch.arange(256, dtype=torch.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root, images, labels, *, name="MNIST", prefix="train", packed=True):
    raw = root / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        data = idx(array)
        file = raw / f"{prefix}-{kind}-ubyte"
        file.with_suffix(".gz" if packed else "").write_bytes(gzip.compress(data) if packed else data)
    return raw


def noise(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_images(folder, names, *shape):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(*shape, seed=i)).save(path)
    return folder


@pytest.fixture
def mnist_like():
    return noise(6, 28, 28), np.array([3, 1, 4, 1, 5, 9], np.uint8)


# ranges


def test_ranges_are_inverse_on_every_grey_level():
    x = to_float(GREY)
    assert x.dtype == torch.float32 and x.min() == -1 and x.max() == 1
    assert torch.equal(x, GREY.float() / 127.5 - 1)
    assert torch.equal(to_uint8(x), GREY)


def test_to_uint8_rounds_to_the_nearest_level():
    levels = torch.tensor([0.4, 0.6, 254.4, 254.6, 255.4])
    assert to_uint8(levels / 127.5 - 1).tolist() == [0, 1, 254, 255, 255]


@pytest.mark.parametrize("bad", [1.01, -1.01, float("nan"), float("inf")])
def test_to_uint8_refuses_other_values(bad):
    with pytest.raises(ValueError, match=re.escape("expects images in [-1, 1], found values from")):
        to_uint8(torch.tensor([0.0, bad]))


def test_ranges_refuse_the_other_type():
    with pytest.raises(ValueError, match=r"to_float expects uint8 .* found torch.float32"):
        to_float(torch.zeros(1))
    with pytest.raises(ValueError, match=r"to_uint8 expects floating point .* found torch.uint8"):
        to_uint8(GREY)


def test_random_flip_mirrors_half_of_the_images():
    images = torch.from_numpy(noise(1000, 3, 2, 4))
    flipped = random_flip(images, torch.Generator().manual_seed(0))
    is_flipped = (flipped == images.flip(-1)).flatten(1).all(1)
    is_same = (flipped == images).flatten(1).all(1)
    assert (is_flipped ^ is_same).all()
    assert 440 < is_flipped.sum() < 560  # 500 +- 4 standard deviations of 16
    assert torch.equal(flipped, random_flip(images, torch.Generator().manual_seed(0)))


# root and names


def test_nobody_looks_for_memory_for_each_small_image(monkeypatch, tmp_path):
    monkeypatch.setattr("fsvae_tcja.utils.memory.available", lambda: 0)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 1, 64).shape == (1, 64, 64)
    with pytest.raises(ValueError, match=r"4,096 x 4,096 pixels needs at least .* GB of memory, 0 GB are free"):
        read_image(tmp_path / "a.png", 1, 4096)


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.delenv("FSVAE_TCJA_DATA", raising=False)
    assert str(data_root()) == "data"
    monkeypatch.setenv("FSVAE_TCJA_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(tmp_path / "other") == tmp_path / "other"


def test_unknown_names_splits_and_sizes():
    names = ", ".join(map(repr, IMAGE_SETS))
    with pytest.raises(
        ValueError, match=rf"unknown data set 'mnits' \(did you mean 'mnist'\?\): choose one of \[{names}\] or a folder"
    ):
        load_images("mnits")
    with pytest.raises(ValueError, match="unknown split 'valid': mnist has the splits train, test"):
        load_images("mnist", "valid")
    with pytest.raises(ValueError, match=r'"valid" is a part of train: say which with validation=0\.1'):
        load_images("mnist", "valid")
    with pytest.raises(ValueError, match="size must be at least 1 pixel, found 0"):
        load_images("digits", size=0)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", ["MNIST/raw/train-images-idx3-ubyte.gz", "MNIST/raw/train-labels-idx1-ubyte.gz"]),
        ("fashion-mnist", ["FashionMNIST/raw/train-images-idx3-ubyte.gz"]),
        ("cifar10", ["cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"]),
        ("cifar100", ["cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"]),
        ("celeba", ["celeba/img_align_celeba", "celeba/list_eval_partition.txt"]),
    ],
)
def test_missing_files_are_named_with_their_place(tmp_path, name, files):
    with pytest.raises(FileNotFoundError) as error:
        load_images(name, root=tmp_path)
    message = str(error.value)
    assert all(f"{tmp_path / file}\n" in message for file in files)
    assert "--download (download=True)" in message and "--data-root" in message


def test_only_the_missing_file_is_named(tmp_path, mnist_like):
    raw = write_mnist(tmp_path, *mnist_like)
    (raw / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as error:
        load_images("mnist", root=tmp_path)
    assert "train-labels-idx1-ubyte.gz" in str(error.value) and "train-images" not in str(error.value)


@pytest.mark.parametrize(("name", "loader"), [("fashion-mnist", "FashionMNIST"), ("cifar10", "CIFAR10")])
def test_download_asks_torchvision_only_for_what_is_missing(tmp_path, monkeypatch, mnist_like, name, loader):
    asked = []
    monkeypatch.setattr(f"torchvision.datasets.{loader}.__init__", lambda self, root, **options: asked.append(options))
    with pytest.raises(FileNotFoundError, match="missing"):
        load_images(name, root=tmp_path, download=True)
    assert asked == [{"download": True}]
    write_mnist(tmp_path, *mnist_like, name="FashionMNIST")
    load_images("fashion-mnist", root=tmp_path, download=True)
    assert len(asked) == 1


# digits


def test_digits():
    train, test = load_images("digits"), load_images("digits", "test")
    assert (len(train), len(test), train.channels, train.size, train.classes) == (1500, 297, 1, 32, 10)
    assert train.images.dtype == torch.uint8 and train.images.shape == (1500, 1, 32, 32)
    assert train.images.min() == 0 and train.images.max() == 255
    assert torch.equal(train.images, load_images("digits").images)
    assert train.labels.bincount().min() > 130 and test.labels.bincount().min() > 15


def test_grey_sets_are_laid_out_channels_last():
    """Or convolutions sum in another order: the weights of a run would be others in their last digits."""
    images = load_images("digits").images
    assert images.stride() == (32 * 32, 1, 32, 1) and images.is_contiguous()


def test_digits_splits_partition_the_originals():
    from sklearn.datasets import load_digits

    splits = [load_images("digits", split, size=10) for split in ("train", "test")]  # 8 and the border: not resized
    ours = torch.cat([split.images[:, 0, 1:-1, 1:-1].flatten(1) for split in splits])
    theirs = torch.from_numpy(np.round(load_digits().images * 255 / 16).astype(np.uint8)).flatten(1)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


# MNIST and its idx files


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_files_are_read_in_place(tmp_path, mnist_like, packed):
    images, labels = mnist_like
    raw = write_mnist(tmp_path, images, labels, prefix="t10k", packed=packed)
    before = sorted(raw.iterdir())
    data = load_images("mnist", "test", size=28, root=tmp_path)
    assert np.array_equal(data.images[:, 0].numpy(), images) and data.labels.tolist() == labels.tolist()
    assert sorted(raw.iterdir()) == before
    image, label = data[2]
    assert torch.equal(image, data.images[2]) and label == 4 and isinstance(label, int)


def test_mnist_is_resized_as_torchvision_resizes_pil_images(tmp_path, mnist_like):
    write_mnist(tmp_path, *mnist_like)
    data = load_images("mnist", root=tmp_path)
    resize = transforms.Compose([transforms.Resize((32, 32)), transforms.PILToTensor()])
    assert torch.equal(data.images, torch.stack([resize(Image.fromarray(image)) for image in mnist_like[0]]))


def damage(data: bytes, kind: str) -> bytes:
    return {
        "magic": b"\0\0\x0d\x03" + data[4:],
        "header": data[:10],
        "short": data[:-5],
        "long": data + b"\0",
        "empty": b"",
    }[kind]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("magic", "it starts with 00 00 0d 03, expected 00 00 08 03"),
        ("header", "ends inside its header: 10 of 16 bytes"),
        ("short", "holds 4699 elements, its header announces 6 x 28 x 28 = 4704"),
        ("long", "holds 4705 elements or more, its header announces 6 x 28 x 28 = 4704"),
        ("empty", "it starts with nothing, expected"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, mnist_like, kind, message, packed):
    raw = write_mnist(tmp_path, *mnist_like, packed=packed)
    file = raw / ("train-images-idx3-ubyte" + ".gz" * packed)
    data = damage(idx(mnist_like[0]), kind)
    file.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_images("mnist", root=tmp_path)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("spoil", [lambda d: d[:-30], lambda d: d[:50] + bytes(20) + d[70:], lambda d: b"<html>"])
def test_damaged_gzip_files_are_named(tmp_path, mnist_like, spoil):
    file = write_mnist(tmp_path, *mnist_like) / "train-images-idx3-ubyte.gz"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{file} is a damaged gzip file")):
        load_images("mnist", root=tmp_path)


def test_images_and_labels_must_be_as_many(tmp_path, mnist_like):
    images, labels = mnist_like
    write_mnist(tmp_path, images, labels[:5])
    with pytest.raises(ValueError, match=r"holds 6 images, train-labels-idx1-ubyte\.gz 5 labels"):
        load_images("mnist", root=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_mnist(real_data, name):
    data = load_images(name, "test", root=real_data)
    assert data.images.shape == (10_000, 1, 32, 32) and data.classes == 10
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009] if name == "mnist" else [1000] * 10
    assert data.labels.bincount().tolist() == counts


# CIFAR10 and CelebA


def test_cifar10_keeps_the_md5_check(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / file).write_bytes(b"not what it says")
    with pytest.raises(ValueError, match=re.escape(f"{folder} has a file that fails its md5 check")):
        load_images("cifar10", root=tmp_path)


def test_cifar10(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images = noise(12, 3, 32, 32)
    for i, file in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        batch = {"data": images[2 * i : 2 * i + 2].reshape(2, -1), "labels": [i, 9 - i]}
        (folder / file).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("0123456789")}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *file: True)
    train, test = (load_images("cifar10", split, root=tmp_path) for split in ("train", "test"))
    assert np.array_equal(train.images, images[:10]) and train.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert np.array_equal(test.images, images[10:]) and test.labels.tolist() == [5, 4]
    assert train.classes == 10 and train.class_names == tuple("0123456789")


def test_cifar100(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    images = noise(3, 3, 32, 32)
    for file, part, labels in [("train", images[:2], [99, 0]), ("test", images[2:], [7])]:
        (folder / file).write_bytes(pickle.dumps({"data": part.reshape(len(part), -1), "fine_labels": labels}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"name {i}" for i in range(100)]}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *file: True)
    train, test = (load_images("cifar100", split, root=tmp_path) for split in ("train", "test"))
    assert np.array_equal(train.images, images[:2]) and train.labels.tolist() == [99, 0]
    assert test.labels.tolist() == [7] and test.classes == 100 and test.class_names[99] == "name 99"


def write_celeba(root, partition):
    write_images(root / "celeba" / "img_align_celeba", ["1.jpg", "2.jpg", "3.jpg", "4.jpg"], 218, 178, 3)
    (root / "celeba" / "list_eval_partition.txt").write_text(partition)


def test_celeba_is_cropped_and_resized_as_published(tmp_path):
    write_celeba(tmp_path, "1.jpg 0\n2.jpg 0\n3.jpg 1\n4.jpg 2\n")
    published = transforms.Compose([transforms.CenterCrop(148), transforms.Resize(64), transforms.PILToTensor()])
    for split, names in {"train": ["1.jpg", "2.jpg"], "valid": ["3.jpg"], "test": ["4.jpg"]}.items():
        data = load_images("celeba", split, size=64, root=tmp_path)
        images, labels = data.read(range(len(data)))
        files = [tmp_path / "celeba" / "img_align_celeba" / name for name in names]
        assert torch.equal(images, torch.stack([published(Image.open(file)) for file in files]))
        assert labels.tolist() == [-1] * len(names) and data.classes is None


def test_damaged_celeba_partition_is_named(tmp_path):
    write_celeba(tmp_path, "<html>\n")
    with pytest.raises(ValueError, match=r"list_eval_partition.txt is damaged"):
        load_images("celeba", root=tmp_path)


# folders


def test_flat_folder(tmp_path):
    write_images(tmp_path, ["b.PNG", "a.bmp", "c.webp", "d.jpg"], 40, 40)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"not an image")
    data = load_images(tmp_path, "all")
    assert [path.name for path in data.paths] == ["a.bmp", "b.PNG", "c.webp", "d.jpg"]
    assert data.labels.tolist() == [-1] * 4 and data.classes is None


def test_channels_follow_every_file(tmp_path):
    write_images(tmp_path, ["a.png", "x/b.jpg", "c.bmp"], 8, 8)
    grey = load_images(tmp_path, "all", size=8)
    assert grey.channels == 1 and np.array_equal(grey[0][0][0], noise(8, 8))
    write_images(tmp_path, ["z.png"], 8, 8, 3)
    mixed = load_images(tmp_path, "all", size=8)
    assert mixed.channels == 3
    assert torch.equal(mixed[0][0], grey[0][0].expand(3, -1, -1))
    assert np.array_equal(mixed[3][0].permute(1, 2, 0), noise(8, 8, 3))


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Levels drawn on white, before rounding."""
    return (pixels * (alpha / 255) + 255 * (1 - alpha / 255)).astype(np.float32)


def read(folder, **options):
    data = load_images(folder, "all", **({"size": 8} | options))
    return data, data.read(range(len(data)))[0]


def test_modes_of_a_file(tmp_path):
    grey, alpha = noise(8, 8, 2).transpose(2, 0, 1)
    Image.fromarray(noise(8, 8) > 127).save(tmp_path / "a.png")
    Image.fromarray(noise(8, 8, 2), "LA").save(tmp_path / "b.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "c.png")
    Image.fromarray(grey.astype(np.int32) * 257 + 128).save(tmp_path / "d.tif")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "e.pgm")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "f.tif")
    data, images = read(tmp_path)
    assert data.channels == 1
    assert np.array_equal(images[0][0], (noise(8, 8) > 127) * 255)
    assert np.abs(images[1][0].numpy() - on_white(grey, alpha)).max() <= 1
    for image, below in zip(images[2:], (0, 1, 0, 0), strict=True):  # 128 is less than half of 257
        assert np.array_equal(image[0], grey), below
    counts = [note for note in data.notes if "of 6 images" in note]
    assert len(counts) == 1
    assert "3 of 6 images of 16 bits, 0..65535 divided by 257" in counts[0]
    assert "1 of 6 images of floating point, 0..1 times 255" in counts[0]
    assert "1 of 6 images of 1 bit, as 0 and 255" in counts[0]
    assert "1 of 6 images with an alpha channel or transparent colour, drawn on white" in counts[0]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.full((8, 8), 1.5, np.float32), "go from 1.5 to 1.5, expected 0 to 1"),
        (np.full((8, 8), np.nan, np.float32), "go from nan to nan, expected 0 to 1"),
        (np.full((8, 8), -3, np.int32), "go from -3 to -3, expected 0 to 65535"),
        (np.full((8, 8), 70_000, np.int32), "go from 70000 to 70000, expected 0 to 65535"),
    ],
)
def test_levels_outside_the_stated_range_are_refused(tmp_path, values, found):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=rf"cannot read the image .*a\.tif: its pixels {found}"):
        load_images(tmp_path, "all")


def white_as_zero(file, levels):
    """A TIFF that says that its 0 is white."""
    Image.fromarray(levels).save(file)
    entry, content = struct.pack("<HHI", 262, 3, 1), file.read_bytes()  # PhotometricInterpretation: one short
    assert content.count(entry + b"\1") == 1
    file.write_bytes(content.replace(entry + b"\1", entry + b"\0"))


def test_white_as_zero_is_turned_or_refused(tmp_path):
    """Pillow turns the levels of such a TIFF, but for those of 16 bits."""
    levels, file = noise(8, 8), tmp_path / "a.tif"
    white_as_zero(file, levels)
    assert np.array_equal(load_images(tmp_path, "all", size=8)[0][0][0].numpy(), 255 - levels)
    white_as_zero(file, levels.astype(np.uint16) * 257)
    with pytest.raises(
        ValueError, match=r"cannot read the image .*a\.tif: its 0 is white .* in 16 bits, expected black"
    ):
        load_images(tmp_path, "all", size=8)


@pytest.mark.filterwarnings("error")
def test_palettes_alpha_and_cmyk_become_rgb(tmp_path):
    rgba = Image.fromarray(noise(8, 8, 4), "RGBA")
    palette = rgba.convert("P")
    index = np.asarray(palette)
    rgba.save(tmp_path / "a.png")
    palette.save(tmp_path / "b.png", transparency=bytes(range(256)))
    palette.save(tmp_path / "c.gif", transparency=int(index[0, 0]))
    rgba.convert("CMYK").save(tmp_path / "d.tif")
    rgba.save(tmp_path / "e.webp", lossless=True, exact=True)
    rgba.save(tmp_path / "f.tif")
    alpha = noise(8, 8, 4)[..., 3:]
    colours, drawn = np.asarray(palette.convert("RGB")), on_white(noise(8, 8, 4)[..., :3], alpha)
    expected = [
        drawn,
        on_white(colours, index[..., None]),
        on_white(colours, (index[..., None] != index[0, 0]) * 255),
        np.asarray(rgba.convert("CMYK").convert("RGB")),
        drawn,
        drawn,
    ]
    _, images = read(tmp_path)
    assert np.abs(images.permute(0, 2, 3, 1).numpy() - np.stack(expected)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "I;16"])
def test_a_transparent_level_is_drawn_on_white(tmp_path, mode):
    """A key of the PNG: its pixels become white, all others stay."""
    key = {"L": 7, "1": 0, "RGB": (7, 7, 7), "I;16": 7 * 257}[mode]
    image = Image.new(mode, (8, 8), key)
    image.putpixel((0, 0), {"L": 9, "1": 1, "RGB": (9, 9, 9), "I;16": 9 * 257}[mode])
    image.save(tmp_path / "a.png", transparency=key)
    expected = np.full((8, 8), 255)
    expected[0, 0] = 255 if mode == "1" else 9
    assert np.array_equal(read(tmp_path)[1][0][0], expected)


def test_shorter_side_is_resized_and_the_centre_cut(tmp_path):
    stripes = np.repeat(np.arange(6, dtype=np.uint8) * 40, 8)  # six stripes, each 8 pixels wide
    Image.fromarray(np.tile(stripes, (16, 1))).save(tmp_path / "wide.png")
    Image.fromarray(np.tile(stripes[:, None], (1, 16))).save(tmp_path / "high.png")
    data = load_images(tmp_path, "all", size=16)
    centre = torch.tensor([80] * 8 + [120] * 8, dtype=torch.uint8)  # stripes 2 and 3
    assert torch.equal(data[0][0][0], centre[:, None].expand(16, 16))
    assert torch.equal(data[1][0][0], centre.expand(16, 16))


def test_exif_orientation_is_obeyed(tmp_path):
    upright = noise(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(upright[::-1, ::-1].copy()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_images(tmp_path, "all", size=8)[0][0][0], upright)


def test_labels_are_the_first_subfolder(tmp_path):
    write_images(tmp_path, ["dog/1.png", "cat/2.png", "cat/deep/er/3.png", "loose.png"], 4, 4)
    data = load_images(tmp_path, "all", size=4)
    assert {path.name: label for path, label in zip(data.paths, data.labels.tolist(), strict=True)} == {
        "2.png": 0,
        "3.png": 0,
        "1.png": 1,
        "loose.png": -1,
    }
    assert data.classes == 2


def test_split_by_subfolders(tmp_path):
    write_images(tmp_path, ["train/b/1.png", "train/a/2.png", "test/b/3.png", "valid/a/4.png"], 4, 4)
    train, test, valid = (load_images(tmp_path, split, size=4) for split in ("train", "test", "valid"))
    assert [[path.name for path in data.paths] for data in (train, test, valid)] == [
        ["2.png", "1.png"],
        ["3.png"],
        ["4.png"],
    ]
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1] and valid.labels.tolist() == [0]
    assert len(load_images(tmp_path, "all")) == 4
    with pytest.raises(ValueError, match="no image for the split 'dev'"):
        load_images(tmp_path, "dev")


def test_split_by_hash(tmp_path):
    write_images(tmp_path / "here", [f"{i}.png" for i in range(40)], 2, 2)
    train, test, every = (load_images(tmp_path / "here", split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(every)) == (36, 4, 40)
    assert sorted([*train.paths, *test.paths]) == every.paths
    assert [path.name for path in test.paths] != [path.name for path in every.paths[:4]]
    (tmp_path / "here").rename(tmp_path / "there")
    assert [path.name for path in load_images(tmp_path / "there", "test").paths] == [path.name for path in test.paths]
    with pytest.raises(ValueError, match="unknown split 'valid': a folder has the splits train, test and all"):
        load_images(tmp_path / "there", "valid")


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder of images {tmp_path / 'none'}")):
        load_images(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="there is no folder of images"):
        load_images("some/where")
    with pytest.raises(ValueError, match=re.escape(f"no image in {tmp_path}: expected files that end in")):
        load_images(tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path):
    write_images(tmp_path, ["a.png"], 4, 4)
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=re.escape(f"cannot read the image {tmp_path / 'broken.png'}")):
        load_images(tmp_path)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_is_named(tmp_path, extension, workers):
    write_images(tmp_path, [f"{name}.{extension}" for name in "abc"], 64, 64, 3)
    file = tmp_path / f"b.{extension}"
    data = load_images(tmp_path, "all")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert data[0][0].shape == (3, 32, 32)
    with pytest.raises(ValueError, match=re.escape(f"cannot read the image {file}")):
        list(batches(data, 2, num_workers=workers))


# batches


@pytest.fixture(params=["memory", "files"])
def dataset(request, tmp_path):
    if request.param == "memory":
        write_mnist(tmp_path, noise(10, 28, 28), np.arange(10, dtype=np.uint8))
        return load_images("mnist", root=tmp_path)
    return load_images(write_images(tmp_path, [f"{i}/x.png" for i in range(10)], 20, 16, 3), "all")


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_batches_are_the_data_in_order(dataset, workers):
    found = list(batches(dataset, 4, num_workers=workers))
    assert [len(images) for images, _ in found] == [4, 4, 2]
    images, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    assert images.dtype == torch.uint8 and labels.dtype == torch.int64
    assert torch.equal(images, torch.stack([dataset[i][0] for i in range(10)]))
    assert labels.tolist() == list(range(10))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_an_order(dataset, workers):
    order = torch.tensor([7, 1, 1, 9, 0])
    found = list(batches(dataset, 2, order=order, num_workers=workers))
    assert [labels.tolist() for _, labels in found] == [[7, 1], [1, 9], [0]]
    assert torch.equal(found[1][0], torch.stack([dataset[1][0], dataset[9][0]]))
    assert list(batches(dataset, 2, order=order[:0])) == []


def test_batches_leave_the_global_generator_alone(dataset):
    before = torch.get_rng_state()
    list(batches(dataset, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_size_is_checked(dataset):
    with pytest.raises(ValueError, match="batch_size must be at least 1, found 0"):
        batches(dataset, 0)


UNFINISHED = """
import sys
import torch
from fsvae_tcja.data.workers import batches
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.data.image_sets import IMAGE_SETS
images = MemoryImages("toy", "train", torch.zeros(1000, 1, 2, 2, dtype=torch.uint8), torch.zeros(1000).long(), 1)
found = batches(images, 1, num_workers=2)
next(found)
print("read", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["return", signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(end):
    """However it ends, in the middle of its batches."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, "-c", UNFINISHED], **pipes, start_new_session=True, cwd=ROOT)
    assert parent.stdout.readline() == "read\n"
    if end != "return":
        os.killpg(parent.pid, end)
    parent.communicate(timeout=60)  # until nobody, worker or parent, holds the pipe
    assert parent.returncode == (0 if end == "return" else -end)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_the_system_are_one_line(tmp_path, workers):
    class Broken(MemoryImages):
        def load(self, indices):
            raise PermissionError(13, "Permission denied", "frames")

    data = Broken("toy", "train", torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4).long(), 1)
    with pytest.raises(OSError, match=r"^\[Errno 13\] Permission denied: 'frames'$"):
        list(batches(data, 2, num_workers=workers))
