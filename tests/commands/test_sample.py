"""fsvae-tcja sample."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fsvae_tcja.cli import main


def ungrid(path, n, columns, size=32, scale=3, gap=4):
    """The images [n, size, size] of a grid, below its title."""
    cell = size * scale + gap
    grid = np.asarray(Image.open(path))[-(-(-n // columns) * cell) :, gap:]
    tops = [(i // columns * cell, i % columns * cell) for i in range(n)]
    return np.stack([grid[t : t + size * scale : scale, s : s + size * scale : scale] for t, s in tops])


def test_three_forms_hold_the_same_pixels(run, tmp_path, capsys):
    for out in ("grid.png", "array.npz", "folder"):
        assert main(["sample", str(run), "--n", "9", "--seed", "3", "--out", out, "--device", "cpu"]) == 0
        assert capsys.readouterr().out == f"drew 9 images (seed 3): {out}\n"
    with np.load("array.npz") as file:
        array = file["images"]
    assert (array.dtype, array.shape) == (np.uint8, (9, 32, 32, 1))
    assert array.min() < array.max()
    files = sorted((tmp_path / "folder").iterdir())
    assert [file.name for file in files] == [f"{i:06d}.png" for i in range(9)]
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(file)) for file in files]), array[..., 0])
    np.testing.assert_array_equal(ungrid("grid.png", 9, columns=3), array[..., 0])


def drawn(run, *options):
    Path("s.npz").unlink(missing_ok=True)
    assert main(["sample", str(run), "--out", "s.npz", "--device", "cpu", *options]) == 0
    with np.load("s.npz") as file:
        return file["images"]


def test_images_belong_to_the_seed(run):
    images = drawn(run, "--n", "9", "--seed", "3")
    np.testing.assert_array_equal(drawn(run, "--n", "9", "--seed", "3"), images)
    np.testing.assert_array_equal(drawn(run / "model.safetensors", "--n", "4", "--seed", "3"), images[:4])
    # another batch size sums in another order: at most one grey level apart
    apart = drawn(run, "--n", "9", "--seed", "3", "--batch-size", "2").astype(int) - images
    assert np.abs(apart).max() <= 1
    assert (drawn(run, "--n", "9", "--seed", "4") != images).any()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", f"{__file__}/a.png"], "test_sample.py is no folder that may be written to"),
        (["--out", "a.jpg"], "cannot write a.jpg: end it in .png (one grid) or .npz (an array), or name a folder"),
        (["--label", "1"], "train one that knows the classes of its images: fsvae-tcja train PRESET --conditional"),
        (["--n", "0"], "n and batch_size must be >= 1, found n=0, batch_size=64"),
        (["--n", "-5", "--label", "1"], "n and batch_size must be >= 1, found n=-5"),
        (["--label", str(2**64)], "train one that knows the classes of its images"),
        (["--label", "box"], "train one that knows the classes of its images"),
        (["--seed", "-1"], "seed must be in 0..2^63 - 1, found -1"),
        (["--out", "/proc/a.png"], "/proc is no folder that may be written to"),
        (["--device", "cuda:x"], "device 'cuda:x'"),
    ],
)
def test_wrong_settings_of_sample(run, fails, args, message, tmp_path):
    assert message in fails("sample", run, *args)
    assert not list(tmp_path.iterdir())


def test_sample_needs_a_checkpoint(fails, tmp_path):
    assert "missing: PATH" in fails("sample")
    assert "--n: expected a whole number, found 'few'" in fails("sample", "x", "--n", "few")
    assert "no checkpoint at none.safetensors" in fails("sample", "none.safetensors")
    assert "no checkpoint at" in fails("sample", tmp_path)
    torch.save({"w": torch.ones(1)}, tmp_path / "m.pth")
    assert "is a pickled PyTorch file" in fails("sample", "m.pth")
    (tmp_path / "m.safetensors").write_bytes(b"half")
    assert "m.safetensors is truncated" in fails("sample", "m.safetensors")


def test_letters_of_a_suffix_may_be_large(run, tmp_path):
    for out in ("A.PNG", "A.NPZ"):
        assert main(["sample", str(run), "--n", "1", "--out", out, "--device", "cpu"]) == 0
    assert Image.open("A.PNG").format == "PNG"
    with np.load("A.NPZ") as file:
        assert file["images"].shape == (1, 32, 32, 1)


def test_a_folder_with_images_is_not_mixed(run, fails, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.png").touch()
    assert "folder is not an empty folder" in fails("sample", run, "--out", "folder")


def test_a_place_that_cannot_be_written(run, fails, tmp_path):
    (tmp_path / "file").touch()
    assert "file" in fails("sample", run, "--n", "1", "--out", "file/a.png")
