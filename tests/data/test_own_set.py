"""An image set of one's own, added from outside the package, is loaded, trained on and scored by its name."""

import json

import numpy as np
import torch

from eval.opening import open_images
from fsvae_tcja.cli import main
from fsvae_tcja.data import IMAGE_SETS, ImageSet, MemoryImages, load_images


def load_stripes(split, size, files):
    """Stripes, upright (class 0) or lying (class 1)."""
    (path,) = files
    images = torch.from_numpy(np.load(path)[:, None].repeat(size // 8, 2).repeat(size // 8, 3))
    return MemoryImages("stripes", split, images, torch.arange(len(images)) % 2, 2, ("upright", "lying"))


def test_an_own_set(tmp_path, monkeypatch):
    record = ImageSet(load_stripes, {"train": ["stripes/train.npy"], "test": ["stripes/test.npy"]})
    monkeypatch.setitem(IMAGE_SETS, "stripes", record)
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    monkeypatch.setenv("FSVAE_TCJA_DATA", str(tmp_path))
    (tmp_path / "stripes").mkdir()
    upright = np.tile(np.array([0, 255], np.uint8), (8, 4))
    for split, n in (("train", 40), ("test", 8)):
        np.save(tmp_path / "stripes" / f"{split}.npy", np.stack([upright, upright.T] * (n // 2)))

    assert len(load_images("stripes", size=16)) == 40 and load_images("stripes", "test")[1][1] == 1
    assert [len(load_images("stripes", split, validation=0.25)) for split in ("train", "valid")] == [30, 10]
    model = ["--model.layers", "4C MP2 FC2", "--model.T", "2", "--model.shape", "1", "16", "16", "--model.classes", "2"]
    run = tmp_path / "run"
    data = ["--data", "stripes", "--epochs", "4", "--batch-size", "8", "--lr", ".05", "--out", str(run)]
    assert main(["classify", "train", "digits", *data, *model]) == 0
    assert json.loads((run / "results.json").read_text())["data"] == "stripes"
    source = open_images("stripes:test", size=16)
    assert (source.n, source.data_set, source.split) == (8, "stripes", "test")
