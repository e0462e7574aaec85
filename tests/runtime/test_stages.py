"""The count of steps and epochs over the stages of a run."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime.config import Stage, TrainerConfig
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.stages import spans
from fsvae_tcja.runtime.trainer import Trainer


def test_stages_follow_one_another():
    first, second = spans([Stage(steps=7, batch_size=4), Stage(epochs=3, batch_size=10)], lambda s: 20 // s.batch_size)
    assert (first.first, first.end, second.first, second.end) == (0, 7, 7, 13)
    assert [first.epoch(step) for step in range(8)] == [0, 1, 1, 1, 1, 1, 2, 2]
    assert [second.epoch(step) for step in range(8, 14)] == [3, 3, 4, 4, 5, 5]
    assert [step for step in range(1, 8) if first.ends_epoch(step)] == [5, 7]
    assert [step for step in range(8, 14) if second.ends_epoch(step)] == [9, 11, 13]
    assert [first.position(step) for step in (0, 4, 5, 6)] == [(0, 0), (0, 4), (1, 0), (1, 1)]
    assert [second.position(step) for step in (7, 8, 9, 12)] == [(2, 0), (2, 1), (3, 0), (4, 1)]


@pytest.mark.parametrize("change", [{"epochs": 0}, {"steps": -1}, {"batch_size": 0}, {"lr": 0}, {"schedule": "steps"}])
def test_a_stage_is_checked(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be"):
        Stage(**change)


@dataclass(frozen=True)
class TwoStages(TrainerConfig):
    """A second stage that is faster."""

    def stages(self):
        return [self, Stage(steps=3, batch_size=6, lr=0.5, weight_decay=0.0)]


class Toy:
    """A weight for each stage; records what it is shown."""

    def __init__(self):
        self.model = nn.Linear(2, 1, bias=False)
        self.data = images(12, 0)
        self.stage, self.seen = 0, []

    beside = None

    def start_stage(self, number, data):
        self.stage = number
        return images(len(data), 1)

    def losses(self, pixels, labels, epoch, generator):
        self.seen.append((self.stage, epoch, len(labels), int(pixels[0, 0, 0, 0])))
        return {"loss": self.model.weight[0, self.stage].square()}

    def end_of_epoch(self, epoch, run):
        return {}

    def metadata(self):
        return {"kind": "toy"}


def images(n, value):
    return MemoryImages("toy", "train", torch.full((n, 1, 2, 2), value, dtype=torch.uint8), torch.arange(n), n)


def test_each_stage_has_its_data_its_batches_and_its_optimiser(tmp_path, capsys):
    task, config = Toy(), TwoStages(data="toy", steps=4, batch_size=4, lr=1e-3, log_every=1, weight_decay=0.0)
    outcome = Trainer(task, config, RunFolder(tmp_path)).fit()
    assert (outcome.step, outcome.total) == (7, 7)
    assert "stage 2 of 2: 3 steps\n" in capsys.readouterr().err
    assert task.seen == [(0, 0, 4, 0)] * 3 + [(0, 1, 4, 0)] + [(1, 2, 6, 1)] * 2 + [(1, 3, 6, 1)]
    assert [row["lr"] for row in RunFolder(tmp_path, True).read_metrics() if "lr" in row] == [1e-3] * 4 + [0.5] * 3


def test_a_stage_whose_batch_is_larger_than_the_data_is_refused(tmp_path):
    task = Toy()
    task.data = images(5, 0)
    with pytest.raises(ValueError, match="toy has 5 training images, fewer than one batch of 6"):
        Trainer(task, TwoStages(data="toy", steps=4, batch_size=4), RunFolder(tmp_path))
