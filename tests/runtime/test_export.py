from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.runtime.export import check_place_of_images, save_array, save_folder, save_images


def pixels(n=5, channels=1):
    return torch.randint(0, 256, (n, channels, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def in_batches(images, size=2):
    return iter(to_float(images).split(size))


@pytest.mark.parametrize("channels", [1, 3])
def test_array_is_uint8_channels_last(tmp_path, channels):
    images = pixels(channels=channels)
    save_images(in_batches(images), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == ["images"]
        assert file["images"].dtype == np.uint8
        np.testing.assert_array_equal(file["images"], images.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_holds_one_png_per_image_in_order(tmp_path, channels):
    images = pixels(channels=channels)
    assert save_folder(in_batches(images), tmp_path / "f") == 5
    files = sorted((tmp_path / "f").iterdir())
    assert [file.name for file in files] == [f"{i:06d}.png" for i in range(5)]
    for file, image in zip(files, images, strict=True):
        expected = image.permute(1, 2, 0).squeeze(-1).numpy()
        np.testing.assert_array_equal(np.asarray(Image.open(file)), expected)


def test_grid_holds_every_image(tmp_path):
    images = pixels()
    save_images(in_batches(images), tmp_path / "g.png")
    grid = np.asarray(Image.open(tmp_path / "g.png"))
    cell = 8 * 12 + 4  # 96 pixels and a gap; 3 columns, 2 rows
    assert grid.shape == (2 * cell + 4, 3 * cell + 4)
    for i, image in enumerate(images):
        top, left = 4 + i // 3 * cell, 4 + i % 3 * cell
        np.testing.assert_array_equal(grid[top : top + 96 : 12, left : left + 96 : 12], image[0].numpy())


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "f").mkdir()
    assert save_folder(in_batches(pixels()), tmp_path / "f") == 5


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_an_empty_folder_is_followed(tmp_path, there):
    (tmp_path / "disk").mkdir() if there else None
    link = tmp_path / "f"
    link.symlink_to("disk")
    check_place_of_images(link)
    assert save_folder(in_batches(pixels()), link) == 5
    assert link.is_symlink() and len(list((tmp_path / "disk").iterdir())) == 5


@pytest.mark.parametrize("what", ["a mount point", "the working directory"])
def test_a_folder_that_no_other_can_take_the_place_of_is_refused(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    if what == "a mount point":
        (tmp_path / "f").mkdir()
        monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "f")
    out = Path("f") if what == "a mount point" else Path(".")
    with pytest.raises(ValueError, match=f"{out} is {what}, which no folder can take the place of; choose a new one"):
        check_place_of_images(out)


@pytest.mark.parametrize("refuse", [check_place_of_images, lambda out: save_folder(in_batches(pixels()), out)])
def test_a_folder_with_something_in_it_is_refused(tmp_path, refuse):
    (tmp_path / "old.png").write_bytes(b"old")
    with pytest.raises(ValueError, match="is not an empty folder; choose a new one"):
        refuse(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["old.png"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(ValueError, match="is not an empty folder"):
        check_place_of_images(tmp_path / "f")
    assert (tmp_path / "f").read_text() == "mine"


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write .*a\.jpg: end it in \.png \(one grid\) or \.npz"):
        check_place_of_images(tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_an_array_of_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        save_array(in_batches(pixels()), tmp_path / "a.npy")


def test_images_out_of_range_leave_the_old_file(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"old")
    with pytest.raises(ValueError, match=r"expects images in \[-1, 1\]"):
        save_images([torch.full((1, 1, 8, 8), 2.0)], tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
