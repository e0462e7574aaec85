"""What a training survives: signals, lost processes, full disks, damaged files, another run's checkpoint."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.config import TrainerConfig
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer

CONFIG = TrainerConfig(data="toy", epochs=3, batch_size=4, log_every=2)  # of 3 steps an epoch


class Images(MemoryImages):
    """Twelve grey images; `events` {number of the reading: function} happen when a batch is read."""

    def __init__(self, events=None, content_hash="a" * 64):
        super().__init__("toy", "train", torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1), torch.arange(12), 12)
        self.events, self.readings, self.content_hash = events or {}, 0, content_hash

    def load(self, indices):
        self.readings += 1
        self.events.get(self.readings, lambda: None)()
        return super().load(indices)


class Toy:
    """Three weights, of which the loss knows what it is shown."""

    def __init__(self, events=None, data=None):
        self.model = nn.Linear(3, 1)
        nn.init.ones_(self.model.weight), nn.init.zeros_(self.model.bias)
        self.data = data or Images()
        self.events, self.steps = events or {}, 0

    def losses(self, images, labels, epoch, generator):
        self.steps += 1
        self.events.get(self.steps, lambda: None)()
        return {"loss": (self.model(torch.ones(3)) * labels.float().mean()).square().sum()}

    def end_of_epoch(self, epoch, run):
        return {}

    def metadata(self):
        return {"kind": "toy"}


def fit(path, resume=False, task=None, config=CONFIG):
    return Trainer(task or Toy(), config, RunFolder(path, resume)).fit(resume)


def weights(path):
    return checkpoint.read(path / "model.safetensors", "model.")[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of an uninterrupted run: 3 epochs of 3 steps."""
    path = tmp_path_factory.mktemp("whole")
    assert fit(path).finished
    return weights(path)


@pytest.fixture
def parts(tmp_path):
    """A run that was stopped in the third epoch: checkpoints after steps 6 and 7."""
    fit(tmp_path, task=Toy({7: lambda: signal.raise_signal(signal.SIGTERM)}))
    return tmp_path


def step_of(path):
    return checkpoint.read_metadata(path)["step"]


# signals


@pytest.fixture
def heard():
    """SIGHUP, which whoever started the tests may have told processes to ignore."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize(("where", "done"), [("step", 5), ("waiting", 4), ("first wait", 0)])
def test_a_signal_saves_and_ends_wherever_it_comes(tmp_path, whole, number, where, done, heard):
    raised = {5: lambda: signal.raise_signal(number)}
    if where == "first wait":
        raised = {1: lambda: signal.raise_signal(number)}
    task = Toy(raised) if where == "step" else Toy(data=Images(raised))
    outcome = fit(tmp_path, task=task)
    assert (outcome.step, outcome.finished, outcome.status) == (done, False, 128 + number)
    assert step_of(tmp_path / "checkpoint.safetensors") == done
    assert fit(tmp_path, resume=True).status == 0
    assert same(weights(tmp_path), whole)


def test_a_wait_that_would_not_end_is_ended(tmp_path):
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    outcome = fit(tmp_path, task=Toy(data=Images({3: lambda: time.sleep(60)})))
    assert (outcome.step, outcome.status) == (2, 143)
    assert time.monotonic() - began < 30


def test_a_closed_terminal_that_nohup_ignores(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert fit(tmp_path, task=Toy({5: lambda: signal.raise_signal(signal.SIGHUP)})).finished
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_that_comes_of_a_signal_is_an_interruption(tmp_path):
    """Ctrl-C at a terminal reaches the compiler too, which then fails."""

    def fail():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("the compiler failed")

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, task=Toy({5: fail}))
    assert step_of(tmp_path / "checkpoint.safetensors") == 3


# lost processes, disks, memory


class Workers(Images):
    workers = 2

    def load(self, indices):
        if 3 in indices and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(indices)


def test_a_lost_loader_process_is_one_line_after_a_checkpoint(tmp_path, whole):
    data = Workers()
    data.parent = os.getpid()
    with pytest.raises(
        OSError, match=r"^a process that reads toy ahead has died: [^\n]+; the checkpoint of step \d is "
    ):
        fit(tmp_path, task=Toy(data=data))
    fit(tmp_path, resume=True)
    assert same(weights(tmp_path), whole)


def test_what_cannot_be_read_is_told_after_a_checkpoint(tmp_path, whole):
    def fail():
        raise PermissionError(errno.EACCES, "Permission denied", "5.png")

    with pytest.raises(
        OSError, match=rf"Permission denied: 5.png; the checkpoint of step 4 is sound: --resume {tmp_path}"
    ):
        fit(tmp_path, task=Toy(data=Images({5: fail})))
    fit(tmp_path, resume=True)
    assert same(weights(tmp_path), whole)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_lack_of_memory_is_one_line(tmp_path, error):
    def fail():
        raise error

    with pytest.raises(
        OSError, match=r"^out of memory in step 5: .*; the checkpoint of step 3 is sound.* --batch-size"
    ):
        fit(tmp_path, task=Toy({5: fail}))
    assert step_of(tmp_path / "checkpoint.safetensors") == 3


FULL = """
import resource, sys
from pathlib import Path
from tests.runtime.test_reliability import CONFIG, Toy
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
import signal
import torch

def shrink():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))

try:
    Trainer(Toy({5: shrink}), CONFIG, RunFolder(sys.argv[1])).fit()
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("size", [0, 1000])
def test_a_disk_that_fills_leaves_the_checkpoint(tmp_path, whole, size):
    """By a limit on the size of files: of none the rows cannot be logged, of 1000 bytes no checkpoint be written."""
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", FULL, path, str(size)], capture_output=True, text=True)
    assert "File too large" in done.stdout and done.stdout.count("\n") == 1, done.stderr
    assert f"the checkpoint of step 3 is sound: --resume {path}" in done.stdout
    assert step_of(path / "checkpoint.safetensors") == 3
    fit(path, resume=True)
    assert same(weights(path), whole)
    assert not list(path.rglob("*.tmp"))


# the newest sound checkpoint


def test_two_checkpoints_are_kept_and_the_newest_sound_one_is_taken(parts, whole, capsys):
    newest, before = parts / "checkpoint.safetensors", parts / "checkpoint-previous.safetensors"
    assert (step_of(newest), step_of(before)) == (7, 6)
    data = newest.read_bytes()
    newest.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    fit(parts, resume=True)
    shown = capsys.readouterr().err
    assert "checkpoint.safetensors is damaged" in shown
    assert "going on after step 6, saved in checkpoint-previous.safetensors" in shown
    assert same(weights(parts), whole)


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_sound_one(parts):
    newest, before = parts / "checkpoint.safetensors", parts / "checkpoint-previous.safetensors"
    newest.write_bytes(b"half")
    for steps in ((7, 6), (8, 7)):
        fit(parts, resume=True, task=Toy({1: lambda: signal.raise_signal(signal.SIGTERM)}))
        assert (step_of(newest), step_of(before)) == steps


def test_a_run_killed_between_two_renames_goes_on(parts, whole):
    (parts / "checkpoint.safetensors").unlink()
    fit(parts, resume=True)
    assert same(weights(parts), whole)


def test_without_a_sound_checkpoint_each_is_named(parts):
    for name in ("checkpoint.safetensors", "checkpoint-previous.safetensors"):
        (parts / name).write_bytes(b"half")
    with pytest.raises(
        ValueError, match=r"checkpoint\.safetensors is truncated .*; .*previous\.safetensors is truncated"
    ):
        fit(parts, resume=True)


def without(path, gone):
    """Take a tensor out of a file, by the means of this package and by foreign ones."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors, _ = checkpoint.read(path)
    save_file({name: x for name, x in tensors.items() if name != gone}, path, metadata)


@pytest.mark.parametrize("foreign", [True, False])
@pytest.mark.parametrize(
    "gone", [["optimizer.1.exp_avg"], ["optimizer.1.exp_avg", "optimizer.1.exp_avg_sq", "optimizer.1.step"]]
)
def test_a_missing_state_of_the_optimizer_is_refused(parts, gone, foreign):
    path = parts / "checkpoint.safetensors"
    (parts / "checkpoint-previous.safetensors").unlink()
    if foreign:
        without(path, gone[-1])
    else:
        tensors, metadata = checkpoint.read(path)
        checkpoint.write(path, {name: x for name, x in tensors.items() if name not in gone}, metadata)
    with pytest.raises(
        ValueError, match=r"is damaged: (optimizer\.1\.\w+ is missing|it lacks states of the optimizer)"
    ):
        fit(parts, resume=True)


# the run and its data


def test_the_checkpoint_of_another_run_is_refused(parts, tmp_path_factory):
    other, config = tmp_path_factory.mktemp("other"), replace(CONFIG, seed=1)
    fit(other, config=config)
    before = (other / "model.safetensors").read_bytes()
    (parts / "checkpoint.safetensors").replace(other / "checkpoint.safetensors")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors belongs to another run \([0-9a-f]{16}, this one is"):
        fit(other, resume=True, config=config)
    assert (other / "model.safetensors").read_bytes() == before


def test_other_data_of_the_same_number_are_refused(parts):
    with pytest.raises(ValueError, match=r"was trained on other data: SHA-256 a{16}\.\.\., toy has b{16}\.\.\."):
        fit(parts, resume=True, task=Toy(data=Images(content_hash="b" * 64)))
    assert json.loads((parts / "run.json").read_text())["data_sha256"] == "a" * 64


@pytest.mark.parametrize("lost", ["", "damaged", "[]"])
def test_a_lost_identity_is_that_of_the_checkpoint(parts, whole, lost):
    before = (parts / "run.json").read_bytes()
    (parts / "run.json").write_text(lost)
    fit(parts, resume=True)
    assert (parts / "run.json").read_bytes() == before
    assert same(weights(parts), whole)


def test_a_run_of_an_older_version_goes_on(parts, whole):
    """Its checkpoint knows no run, no data and no list of states, and its checksums no forms."""
    path = parts / "checkpoint.safetensors"
    tensors, metadata = checkpoint.read(path)
    old = {name: value for name, value in metadata.items() if name not in ("run", "data_sha256", "optimizer")}
    save_file(tensors, path, {checkpoint.KEY: json.dumps(old)})
    (parts / "checkpoint-previous.safetensors").unlink()
    (parts / "run.json").unlink()
    fit(parts, resume=True)
    assert same(weights(parts), whole)


def test_a_relative_path_of_an_older_version_is_the_same_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit("run", config=replace(CONFIG, data="images", epochs=1))
    fit("run", resume=True, config=replace(CONFIG, data=str(tmp_path / "images"), epochs=2))
    unknown = Toy(data=Images(content_hash=None))  # nobody knows what lies in another place
    with pytest.raises(ValueError, match=r"data: .*images there, .*other here"):
        fit("run", resume=True, task=unknown, config=replace(CONFIG, data=str(tmp_path / "other"), epochs=3))


def test_the_same_data_in_another_place_are_the_same(tmp_path, whole):
    fit(tmp_path, config=replace(CONFIG, data="here", epochs=1))
    fit(tmp_path, resume=True, config=replace(CONFIG, data="there"))
    assert same(weights(tmp_path), whole)


# the log only tells


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "7", "{}", '{"step": "3", "epoch": 1}', "{broken", "[" * 100_000])
def test_an_odd_line_in_the_log_stops_nothing_and_changes_no_weights(parts, whole, line, caplog):
    log = parts / "metrics.jsonl"
    rows = log.read_text().splitlines()
    log.write_text("\n".join([rows[0], line, *rows[1:]]) + "\n")
    fit(parts, resume=True)
    assert "1 of 7 lines are no rows of metrics, passed over" in caplog.text
    assert same(weights(parts), whole)
    assert [json.loads(row)["step"] for row in log.read_text().splitlines()] == [2, 3, 3, 4, 6, 6, 8, 9, 9]


def test_a_lost_log_changes_no_weights(parts, whole):
    (parts / "metrics.jsonl").unlink()
    fit(parts, resume=True)
    assert same(weights(parts), whole)
