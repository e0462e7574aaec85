"""Validation and test splits: fixed, per class, and told apart by a hash."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fsvae_tcja.data.events.recording import Recording
from fsvae_tcja.data.events.sources import CIFAR10_CLASSES
from fsvae_tcja.data.events.splits import nine_to_one, split_hash
from fsvae_tcja.data.splits import held_out, validation_groups, validation_split


def test_held_out():
    assert [held_out(n, 0.1) for n in (0, 1, 2, 9, 10, 19, 20, 31, 1000)] == [0, 0, 1, 1, 1, 1, 2, 3, 100]
    assert held_out(100, 0.29) == 29  # 0.29 * 100 is 28.999...
    assert held_out(100, 0) == 0


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_every_class_gives_its_part(fraction):
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 7, 1000))
    train, valid = validation_split(labels, fraction, seed=3)
    assert torch.equal(torch.cat([train, valid]).sort().values, torch.arange(1000))
    assert torch.equal(train, train.sort().values) and torch.equal(valid, valid.sort().values)
    expected = [held_out(int(n), fraction) for n in labels.bincount()]
    assert labels[valid].bincount().tolist() == expected


def test_the_rule_is_the_published_one():
    labels = torch.tensor([0, 1] * 20)
    order = np.random.RandomState(5).permutation(40)
    expected = sorted([i for i in order if i % 2 == 0][:4] + [i for i in order if i % 2 == 1][:4])
    assert validation_split(labels, 0.2, 5)[1].tolist() == expected


def test_the_seed_decides_and_the_global_one_does_not():
    labels = torch.zeros(200, dtype=torch.long)
    first = validation_split(labels, 0.1, 0)[1]
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(first, validation_split(labels, 0.1, 0)[1])
    assert not torch.equal(first, validation_split(labels, 0.1, 1)[1])


def test_no_validation():
    train, valid = validation_split(torch.zeros(5), 0, 0)
    assert train.tolist() == [0, 1, 2, 3, 4] and len(valid) == 0
    assert [len(part) for part in validation_split(torch.zeros(0), 0.1, 0)] == [0, 0]


def test_groups_stay_whole_and_follow_the_same_rule():
    groups = [f"user{i % 20:02d}" for i in range(200)]
    train, valid = validation_groups(groups, 0.1, 5)
    chosen = np.random.RandomState(5).permutation(20)[:2]
    assert valid.tolist() == [i for i in range(200) if i % 20 in chosen]
    assert torch.equal(torch.cat([train, valid]).sort().values, torch.arange(200))
    assert [len(part) for part in validation_groups(groups, 0, 5)] == [200, 0]
    assert [len(part) for part in validation_groups(["a", "b", "b"], 0.01, 0)] in ([1, 2], [2, 1])  # at least one


@pytest.mark.parametrize("fraction", [-0.1, 1, float("nan")])
def test_wrong_fraction(fraction):
    with pytest.raises(ValueError, match=re.escape(f"the validation fraction must be in [0, 1), found {fraction}")):
        validation_split(torch.zeros(5), fraction, 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_wrong_seed(seed):
    with pytest.raises(ValueError, match=re.escape(f"the seed of a split must be in 0..2^32 - 1, found {seed}")):
        validation_split(torch.zeros(5), 0.1, seed)


def recordings(names):
    return [Recording(Path("/data") / name, name, int(name[0])) for name in names]


def test_nine_to_one_looks_at_names_alone():
    names = [f"{c}/{i}.bin" for c in range(3) for i in range(25)]
    train, test = nine_to_one(recordings(names))
    assert [r.label for r in test] == [0, 0, 1, 1, 2, 2]
    assert sorted(r.name for r in train + test) == sorted(names)
    moved = nine_to_one([Recording(Path("/elsewhere") / r.name, r.name, r.label) for r in recordings(names)[::-1]])
    assert {r.name for r in moved[1]} == {r.name for r in test}
    assert [r.name for r in moved[0]] == [r.name for r in train][::-1]  # the order is kept


def test_the_split_of_one_class_does_not_depend_on_another():
    names = [f"{c}/{i}.bin" for c in range(2) for i in range(30)]
    both, one = nine_to_one(recordings(names))[1], nine_to_one(recordings(names[:30]))[1]
    assert [r.name for r in both if r.label == 0] == [r.name for r in one]


def test_the_split_of_cifar10dvs_is_the_published_one():
    """By the names of its 10,000 files; the README of the events publishes the hash."""
    names = [f"{c}/cifar10_{c}_{i}.aedat" for c in CIFAR10_CLASSES for i in range(1000)]
    label = {c: i for i, c in enumerate(CIFAR10_CLASSES)}
    train, test = nine_to_one([Recording(Path(name), name, label[name.split("/")[0]]) for name in names])
    assert len(train) == 9000 and [sum(r.label == c for r in test) for c in range(10)] == [100] * 10
    readme = Path(__file__).parents[2] / "fsvae_tcja" / "data" / "events" / "README.md"
    assert split_hash(r.name for r in test) in readme.read_text()


def test_split_hash_is_of_the_set_of_names():
    assert split_hash(["b", "a"]) == split_hash(["a", "b"]) != split_hash(["a"])
    assert re.fullmatch("[0-9a-f]{16}", split_hash([]))
