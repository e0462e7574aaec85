"""Reading ahead: shared memory that is too small, processes that die, hang or are told to stop."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from fsvae_tcja.data import MemoryImages, batches, workers
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.config import TrainerConfig
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils import cpus as cpus_module
from fsvae_tcja.utils import once
from fsvae_tcja.utils.cpus import cpus
from tests.conftest import long

ROOT = Path(__file__).parents[2]
Disk = namedtuple("Disk", "total used free")


class Images(MemoryImages):
    """20 images of one pixel; `happens` {index: function} is called where that image is read ahead."""

    workers = 2

    def __init__(self, happens=None):
        super().__init__("toy", "train", torch.arange(20, dtype=torch.uint8).view(-1, 1, 1, 1), torch.arange(20), 20)
        self.happens = happens or {}

    def load(self, indices):
        for i in indices if multiprocessing.parent_process() else ():  # a run hashes its images in its own process
            self.happens.get(i, lambda: None)()
        return super().load(indices)


def die():
    time.sleep(1)  # until the batches before this one have been handed over
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(600)


# shared memory


@pytest.mark.parametrize(("room", "read_ahead"), [(23, False), (24, True)])
def test_what_does_not_fit_into_shared_memory_is_not_read_ahead(monkeypatch, caplog, room, read_ahead):
    """2 processes hold 2 batches each, one is trained on, one taken over: 6 batches of 4 bytes."""
    once.warn_once.cache_clear()
    monkeypatch.setattr(workers, "SHARED_MEMORY", Path("/"))
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda path: Disk(64, 64 - room, room))
    started, others = [], set(multiprocessing.active_children())
    with caplog.at_level(logging.WARNING):
        found = []
        for images, labels in batches(Images(), 4):
            started.append(len(set(multiprocessing.active_children()) - others))
            found += labels.tolist()
            assert images.flatten().tolist() == labels.tolist()
    assert found == list(range(20))
    assert max(started) == (2 if read_ahead else 0)
    lines = [record.message for record in caplog.records]
    assert len(lines) == (0 if read_ahead else 1)
    assert read_ahead or lines[0].startswith("toy: nothing is read ahead, which is slower: 2 processes would hold 0 MB")


# processes that die or hang


def test_a_process_that_dies_is_an_error_of_one_line(capfd):
    found = batches(Images({9: die}), 4)
    seen = []
    with pytest.raises(OSError, match=r"^a process that reads toy ahead has died: it was killed, perhaps because mem"):
        for _, labels in found:
            seen.append(labels.tolist())
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("another", [True, pytest.param(False, marks=long)])
def test_its_death_interrupts_no_step(another):
    """DataLoader's own way is an exception wherever the program is, which a loader of the user's may have set."""
    if another:
        list(DataLoader(range(4), num_workers=1))
        signal_handling._SIGCHLD_handler_set = False  # as the first loader of a process finds it
        signal_handling._set_SIGCHLD_handler()
    others = set(multiprocessing.active_children())
    found = batches(Images({4: die}), 4)
    next(found)
    deadline = time.monotonic() + 30
    while len(set(multiprocessing.active_children()) - others) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    with pytest.raises(OSError, match="has died"):
        next(found)


def test_no_wait_is_without_an_end(monkeypatch):
    monkeypatch.setattr(workers, "LONGEST_WAIT", 1.5)
    with pytest.raises(OSError, match=r"^no batch of toy in 1.5 seconds; are its files on a disk that answers\?$"):
        list(batches(Images({3: hang}), 4))


def test_a_slow_batch_is_waited_for():
    found = list(batches(Images({5: lambda: time.sleep(2.5)}), 4))
    assert torch.cat([labels for _, labels in found]).tolist() == list(range(20))


@pytest.mark.parametrize("read_ahead", [0, 2])
def test_the_batches_end_where_they_are_told_to_stop(read_ahead):
    told = []
    found = batches(Images({9: hang} if read_ahead else {}), 4, num_workers=read_ahead, stopped=lambda: bool(told))
    assert len([next(found), next(found)]) == 2
    told.append(1)
    began = time.monotonic()
    assert list(found) == []
    assert time.monotonic() - began < 30


# in a training


class Task:
    """One weight that goes to 0."""

    def __init__(self, data):
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.data = data

    def losses(self, images, labels, epoch, generator):
        return {"loss": self.model.weight.square().sum()}

    def end_of_epoch(self, epoch, run):
        return {}

    def metadata(self):
        return {"kind": "toy"}


class Signalled(Callback):
    """The process gets SIGTERM some seconds after a step."""

    def __init__(self, step, seconds):
        self.at, self.seconds = step, seconds

    def step(self, trainer, losses):
        if trainer.step == self.at:
            threading.Timer(self.seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()


def trainer(path, data, resume=False, callbacks=()):
    config = TrainerConfig(data="toy", epochs=1, batch_size=4)
    order = torch.arange(20)
    return Trainer(Task(data), config, RunFolder(path, resume), order=lambda epoch: order, callbacks=callbacks)


def test_a_signal_ends_the_wait_for_a_batch(tmp_path):
    after_the_second = Signalled(step=2, seconds=1)
    outcome = trainer(tmp_path, Images({9: hang}), callbacks=[after_the_second]).fit()
    assert (outcome.step, outcome.total) == (2, 5)
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 2


def test_a_death_costs_no_step(tmp_path):
    with pytest.raises(OSError, match="has died"):
        trainer(tmp_path, Images({9: die})).fit()
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 2
    outcome = trainer(tmp_path, Images(), resume=True).fit(resume=True)
    assert (outcome.step, outcome.trained) == (5, 3)


# CPUs


def test_cpus_are_those_of_the_affinity():
    """`taskset` and batch systems give a process some of the machine's CPUs."""
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from fsvae_tcja.utils.cpus import "
    program += "cpus; from fsvae_tcja.data import EventFrames, FileImages; "
    program += "print(cpus(), FileImages.workers, EventFrames.workers)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "1 0 0\n", done.stderr


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),  # docker run --cpus 1.5
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "?"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_cpus_are_at_most_the_quota_of_a_container(tmp_path, monkeypatch, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cpus_module, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert cpus() == quota


@pytest.mark.parametrize(("processes", "spare"), [("", 7), ("1", 7), ("2", 3), ("8", 0), ("16", 0)])
def test_processes_of_torchrun_share_the_cpus(monkeypatch, processes, spare):
    monkeypatch.setattr(cpus_module, "cpus", lambda: 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert cpus_module.spare_cpus() == spare


def test_the_processes_stay_from_one_epoch_to_the_next():
    class Readers(Images):
        def load(self, indices):
            return torch.full((len(indices), 1), os.getpid())

    loader = workers.Loader(Readers(), 2, num_workers=2)
    epochs = [{int(x) for batch, _ in loader.epoch(torch.arange(8)) for x in batch} for _ in range(3)]
    assert epochs[0] == epochs[1] == epochs[2] and os.getpid() not in epochs[0]


def test_each_epoch_of_a_loader_has_its_own_order():
    loader = workers.Loader(Images(), 3, num_workers=1)
    orders = [torch.randperm(8)[:n] for n in (8, 7, 8)]
    for order in orders:
        assert torch.equal(torch.cat([labels for _, labels in loader.epoch(order)]), Images().labels[order])


def test_arrays_in_memory_are_read_at_20_000_images_a_second():
    images = torch.zeros(20_000, 1, 32, 32, dtype=torch.uint8)
    data = MemoryImages("many", "train", images, torch.zeros(len(images), dtype=torch.int64), 1)
    loader, began = workers.Loader(data, 32), time.process_time()
    assert sum(len(x) for x, _ in loader.epoch(torch.randperm(len(data)))) == len(data)
    assert time.process_time() - began < 1
