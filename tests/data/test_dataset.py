"""One contract for every data set: a DataLoader takes it, a batch is read at once, parts are data sets."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from fsvae_tcja.data import MemoryImages, batches, limited, load_events, load_images, split_off
from fsvae_tcja.data.dataset import some
from tests.data.events.writers import write_synthetic


def write_folder(folder):
    for i in range(30):
        (folder / f"class {i % 3}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), i, np.uint8)).save(folder / f"class {i % 3}" / f"{i}.png")
    return load_images(folder, "all", size=8)


def events(folder):
    write_synthetic("nmnist", folder, train=3, test=1)
    return load_events("nmnist", "train", T=4, root=folder, validation=0)


MAKE = {
    "memory": lambda folder: limited(load_images("digits", size=8), 30),
    "folder": write_folder,
    "part of a folder": lambda folder: split_off(write_folder(folder), 0.2)[0],
    "validation split": lambda folder: load_images("digits", "valid", size=8, validation=0.02),
    "events": events,
    "part of events": lambda folder: limited(events(folder), 20),
}


@pytest.fixture(params=MAKE)
def data(request, tmp_path):
    return MAKE[request.param](tmp_path / "data")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_loader_takes_it(data, workers):
    loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=workers)
    found = list(loader)
    x, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    frames = () if data.T is None else (data.T,)
    assert x.shape == (len(data), *frames, *data.shape) and labels.dtype == torch.int64
    assert labels.bincount().tolist() == data.labels.bincount().tolist()
    everything, _ = data.read(range(len(data)))
    assert x.dtype == everything.dtype and torch.equal(x.long().sum(0), everything.long().sum(0))


def test_a_sample_is_that_of_a_batch(data):
    order = torch.tensor([5, 1, 1, 8])
    (x, labels), (last, _) = list(batches(data, 3, order=order))
    for i, index in enumerate(order[:3].tolist()):
        sample, label = data[index]
        assert isinstance(label, int) and torch.equal(x[i], sample) and labels[i] == label
    assert torch.equal(last[0], data[8][0])


def test_what_every_data_set_says_of_itself(data):
    assert data.shape == (data.channels, data.size, data.size)
    assert len(data.class_names) == data.classes and data.labels.dtype == torch.int64
    assert len(data) == len(data.labels) and data.name and data.split
    assert repr(data).startswith(f"{type(data).__name__}({data.name}, {data.split}: {len(data)} ")


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"toy, train: labels must lie in 0\.\.1, .* 2 classes, found 0 to 2"):
        MemoryImages("toy", "train", torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3), 2)


@pytest.mark.parametrize("images", [torch.rand(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)])
def test_images_in_memory_are_of_8_bits(images):
    with pytest.raises(
        ValueError, match=r"images must be uint8 \[N, C, S, S\], found torch\.(float32|uint8) \[2, .*byte"
    ):
        MemoryImages("toy", "train", images, torch.zeros(2).long(), 1)


# parts


def test_a_validation_split_is_cut_from_every_class():
    whole = load_images("digits", size=8)
    train, valid = (load_images("digits", split, size=8, validation=0.1) for split in ("train", "valid"))
    assert (train.split, valid.split) == ("train", "valid")
    assert valid.labels.bincount().tolist() == [int(n) // 10 for n in whole.labels.bincount()]
    both = torch.cat([train.indices, valid.indices]).sort().values
    assert torch.equal(both, torch.arange(len(whole)))
    assert torch.equal(valid.read([0, 1])[0], whole.read(valid.indices[:2].tolist())[0])
    assert len(load_images("digits", "test", size=8, validation=0.1)) == 297


def test_a_validation_split_of_its_own_is_kept(tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / split / f"{split}.png")
    found = [load_images(tmp_path, split, validation=0.5) for split in ("train", "valid")]
    assert [data.paths[0].name for data in found] == ["train.png", "valid.png"]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_wrong_part_is_refused(fraction):
    with pytest.raises(ValueError, match=r"the validation fraction must be in \[0, 1\)"):
        load_images("digits", "valid", validation=fraction)


def test_a_limit_takes_the_same_samples_everywhere_and_not_the_first():
    whole = load_images("digits", size=8)
    small, large = limited(whole, 100), limited(whole, 200)
    assert len(small) == 100 and small.split == "train, 100 of 1500"
    assert torch.equal(small.indices, torch.tensor(sorted(np.random.RandomState(0).permutation(1500)[:100])))
    assert set(small.indices.tolist()) < set(large.indices.tolist())
    assert limited(whole, None) is limited(whole, 1500) is whole
    with pytest.raises(ValueError, match="limited to at least 1 sample, found 0"):
        limited(whole, 0)


def test_a_part_is_read_by_as_many_processes_as_the_whole(tmp_path):
    assert limited(write_folder(tmp_path), 3).workers == min(16, len(os.sched_getaffinity(0)) - 1)


@pytest.mark.parametrize(
    ("labels", "published", "split"),
    [
        ([0] * 50 + [1] * 50, False, "test, 20 of 100"),  # a folder of classes
        ([0] * 50 + [1] * 50, True, "test, 20 of 100"),
        ([0, 1] * 50, False, "test, 20 of 100"),
        ([0, 1] * 50, True, "test, the first 20 of 100"),
    ],
)
def test_some_of_a_data_set_are_of_all_classes(labels, published, split):
    data = MemoryImages("set", "test", torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1), torch.tensor(labels), 2)
    data.published = published
    chosen = some(data, 20)
    assert len(chosen) == 20 and chosen.split == split and {*chosen.labels.tolist()} == {0, 1}
    assert some(data, 100) is data and len(some(data, 200)) == 100
    with pytest.raises(ValueError, match="at least 1 sample, found 0"):
        some(data, 0)
