"""Two processes, or four, follow one: weights, statistics and losses; what ends one ends all; any number goes on.

The long form, 50 steps: FSVAE_TCJA_LONG=1 pytest -n 0 -s tests/runtime/test_distributed.py --processes-steps 50
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fsvae_tcja.runtime import checkpoint, distributed
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.utils.shares import Share, share_of
from tests.conftest import long
from tests.runtime.runs_of_several import (
    CONFIGS,
    NETWORKS,
    codes_of_a_stage,
    drawn,
    first_is_killed,
    fit,
    fit_network,
    shared_batches,
    statistics,
)
from tests.several import together

TOLERANCE = {
    "weights": 1e-5,  # and statistics
    "metrics": 1e-5,
    "discriminator": 1e-3,  # AdamW makes whole steps of a bias whose two gradients cancel but for rounding
}


def run(kind: str, folder: Path, steps: int, processes: int) -> None:
    found = together(processes, fit_network if kind in NETWORKS else fit, kind, folder, steps)
    assert not [error for error in found if isinstance(error, BaseException)], found


def difference(one: Path, other: Path) -> dict[str, float]:
    """The largest differences of weights and statistics, and of the rows of metrics."""
    worst = dict.fromkeys(TOLERANCE, 0.0)
    a, b = (checkpoint.read(folder / "checkpoint.safetensors")[0] for folder in (one, other))
    assert a.keys() == b.keys()
    for name in (name for name in a if not name.startswith("optimizer.")):
        what = "discriminator" if name.startswith("beside.") else "weights"
        worst[what] = max(worst[what], (a[name].double() - b[name].double()).abs().max().item())
    rows = [RunFolder(folder, True).read_metrics() for folder in (one, other)]
    assert len(rows[0]) == len(rows[1]) > 1
    for x, y in zip(*rows, strict=True):
        assert x.keys() == y.keys()
        for name in x.keys() - {"images_per_second"}:
            worst["metrics"] = max(worst["metrics"], abs(x[name] - y[name]) / max(1, abs(x[name])))
    return worst


@pytest.fixture(scope="session")
def steps(pytestconfig):
    return pytestconfig.getoption("--processes-steps")


@pytest.fixture(scope="session")
def alone(tmp_path_factory, steps):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")

    def of(kind: str) -> Path:
        path = folder / kind
        if not path.exists():
            run(kind, path, steps, 1)
        return path

    return of


SHORT = [("escape", 2), ("classifier", 3)]
LONG = [(kind, processes) for kind in [*CONFIGS, *NETWORKS] for processes in (2, 4) if (kind, processes) not in SHORT]
CASES = [*SHORT, *(pytest.param(*case, marks=long) for case in LONG)]


@pytest.mark.parametrize(("kind", "processes"), CASES)
def test_processes_follow_one(tmp_path, alone, steps, kind, processes):
    run(kind, tmp_path / "run", steps, processes)
    found = difference(alone(kind), tmp_path / "run")
    print(f"\n{kind}, {processes} processes, {steps} steps: {found}")  # the figures of docs/CLUSTER.md
    assert all(found[name] <= TOLERANCE[name] for name in TOLERANCE), found  # NaN is not


@pytest.mark.parametrize("processes", [3, pytest.param(2, marks=long)])
def test_every_image_of_an_epoch_is_seen_once(tmp_path, processes):
    """Of 100 images six batches of 16, in two parts each; in the next epoch others are left out."""
    seen = together(processes, shared_batches, tmp_path / "run")
    assert not [error for error in seen if isinstance(error, BaseException)], seen
    (expected,) = together(1, shared_batches, tmp_path / "one")
    for epoch in range(2):
        parts = [set(images[epoch]) for images in seen]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 96  # no image twice
        assert set().union(*parts) == set(expected[epoch])


def test_everything_that_is_exchanged_lies_on_the_device_of_the_model(monkeypatch):
    """DistributedDataParallel refuses weights of two devices. Another one than the CPU that every machine has: meta."""
    found = []
    monkeypatch.setattr(distributed, "world", lambda: 2)
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda module, **_: found.extend(module.parameters()))
    distributed.Replica(lambda batch: {}, [nn.Linear(2, 3, device="meta")])
    assert len(found) > 2 and {parameter.device for parameter in found} == {torch.device("meta")}


def test_a_batch_is_shared_evenly_and_needs_an_image_for_each(monkeypatch):
    monkeypatch.setattr("fsvae_tcja.utils.shares.world", lambda: 3)
    found = []
    for rank in range(3):
        monkeypatch.setattr("fsvae_tcja.utils.shares.rank", lambda rank=rank: rank)
        found.append(share_of(8))
    assert found == [Share(0, 2, 8), Share(2, 3, 8), Share(5, 3, 8)]
    with pytest.raises(ValueError, match=r"3 processes cannot share 2 image\(s\).*start fewer processes"):
        share_of(2)


@pytest.mark.parametrize("processes", [3, pytest.param(2, marks=long)])
def test_statistics_and_gradients_of_a_norm_are_those_of_the_whole_batch(processes):
    """The fused norm and the plain one, against one process."""
    (expected,) = together(1, statistics)
    found = together(processes, statistics)
    assert not [error for error in found if isinstance(error, BaseException)], found
    for name, value in expected.items():
        parts = [one[name] for one in found]
        if name.endswith("of images"):
            result = np.concatenate(parts)
        elif name.endswith("gradient"):  # of weight and bias: DistributedDataParallel takes their mean
            result = np.sum(parts, axis=0)
        else:
            assert all(np.array_equal(part, parts[0]) for part in parts), name
            result = parts[0]
        np.testing.assert_allclose(result, value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_codes_of_a_machine_lie_in_memory_once():
    """Those of the second stage, and their clusters are those of one process."""
    (alone,) = together(1, codes_of_a_stage)
    found = together(3, codes_of_a_stage)
    assert not [error for error in found if isinstance(error, BaseException)], found
    assert {one.pop("place") for one in found} - {"00:00 0", alone.pop("place")} and found == [alone] * 3


@pytest.mark.parametrize("processes", [4, pytest.param(2, marks=long)])
def test_drawn_images_are_those_of_one_process_bit_for_bit(processes):
    """In batches of 16, of which no number of processes gets as many."""
    (alone,) = together(1, drawn, 41)
    assert len(alone) == 41 == len(np.unique(alone, axis=0))
    first, *others = together(processes, drawn, 41)
    assert np.array_equal(first, alone) and others == [None] * (processes - 1)


def test_a_killed_process_ends_all_and_another_number_goes_on(tmp_path):
    """The survivor says so in one line; its last checkpoint is sound; three go on to where one would have come."""
    folder, whole = tmp_path / "run", tmp_path / "whole"
    survivor, killed = together(2, fit, "bernoulli", folder, 12, False, {1: (16, "kill")})  # in the 8th step
    assert killed is None
    assert isinstance(survivor, ValueError) and "another of the 2 processes has ended" in str(survivor)
    assert "\n" not in str(survivor)
    assert checkpoint.read_metadata(folder / "checkpoint.safetensors")["step"] == 6  # after the first epoch
    outcomes = together(3, fit, "bernoulli", folder, 12, True)
    assert [outcome.step for outcome in outcomes] == [12, 12, 12]
    run("bernoulli", whole, 12, 1)
    found = difference(whole, folder)
    assert all(found[name] <= TOLERANCE[name] for name in TOLERANCE), found


def test_the_death_of_the_process_that_all_meet_at_is_told_too():
    """Without torchrun that is the first one."""
    killed, *survivors = together(3, first_is_killed)
    assert killed is None
    for error in survivors:
        assert isinstance(error, ValueError) and "another of the 3 processes has ended" in str(error), error


def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path):
    folder = tmp_path / "run"
    outcomes = together(2, fit, "classifier", folder, 12, False, {1: (7, "interrupt")})  # in the 4th step
    assert [(outcome.step, outcome.finished) for outcome in outcomes] == [(4, False)] * 2
    assert [outcome.step for outcome in together(2, fit, "classifier", folder, 12, True)] == [12, 12]


def started(*args: object, **environment: str) -> subprocess.Popen:
    """torchrun with these arguments, in a process group of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", *map(str, args)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FSVAE_TCJA_BACKEND": "reference"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, **pipes, text=True, start_new_session=True)


def ended(process: subprocess.Popen) -> tuple[str, str]:
    """What it wrote on stdout and stderr."""
    try:
        return process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        raise


def torchrun(*args: object) -> tuple[str, str]:
    process = started(*args)
    out, err = ended(process)
    assert process.returncode == 0, out + err
    return out, err


TRAIN = ["fsvae_tcja", "train", "digits", "--model.T", "4", "--model.L", "8", "--model.latent.k", "3"]
TRAIN += ["--model.channels", "2", "3", "4", "5", "--device", "cpu", "--limit", "120", "--batch-size", "20"]
TRAIN += ["--log-every", "2", "--epochs", "3"]


UNLUCKY = """
import os, signal, sys
from fsvae_tcja.cli import main
from fsvae_tcja.runtime.callbacks import Metrics
step = Metrics.step
def fatal(self, trainer, losses):
    step(self, trainer, losses)
    if trainer.step == 8 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        DIE
Metrics.step = fatal
sys.exit(main(sys.argv[1:]))
"""


def check_went_on(out: Path, trained: str, told: str) -> None:
    """A run that lost a process in its 8th step, after its checkpoint of the 6th, is at its end, and says so once."""
    assert told.count("error: another of the 2 processes has ended") == 1
    assert "Traceback" not in trained and trained.count("trained 12 steps") == 1
    rows = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(rows) and rows[-1] == 18
    assert checkpoint.read_metadata(out / "checkpoint.safetensors")["step"] == 18


@long
def test_torchrun_starts_again_and_goes_on_and_draws_the_same_images(tmp_path):
    """A process kills itself once, in the second epoch; --max-restarts 1. Then the images of one process and two."""
    script, out = tmp_path / "unlucky.py", tmp_path / "run"
    script.write_text(UNLUCKY.replace("DIE", "os.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL)"))
    two = ["--standalone", "--nproc-per-node", 2]
    check_went_on(out, *torchrun(*two, "--max-restarts", 1, script, *TRAIN[1:], "--out", out))
    assert not list(out.glob(".*"))  # neither lock nor half a file
    for number in (1, 2):
        args = [out, "--batch-size", 16, "--out", tmp_path / f"{number}.npz"]
        torchrun("--standalone", "--nproc-per-node", number, "-m", "--", "fsvae_tcja", "sample", *args, "--n", 41)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


@long
def test_torchrun_goes_on_with_the_machines_that_are_left(tmp_path):
    """Two launchers, as two machines would have them; one of them dies with its process."""
    script, out = tmp_path / "unlucky.py", tmp_path / "run"
    script.write_text(
        UNLUCKY.replace(
            "DIE", "'UNLUCKY' in os.environ and [os.kill(p, signal.SIGKILL) for p in (os.getppid(), os.getpid())]"
        )
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", 1]
    where += ["--rdzv-conf", "last_call_timeout=5", "--local-addr", "127.0.0.1"]
    how = ["--nnodes", "1:2", "--nproc-per-node", 1, "--max-restarts", 1, *where, script, *TRAIN[1:], "--out", out]
    lucky = started(*how)
    unlucky = started(*how, UNLUCKY="1")
    written, other = ended(lucky), ended(unlucky)
    assert (lucky.returncode, unlucky.returncode) == (0, -signal.SIGKILL), written + other
    check_went_on(out, *written)
