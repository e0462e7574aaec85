"""Two processes, or four, follow one: weights, statistics and losses; what ends one ends all; any number goes on.

The long form, 50 steps: FSVAE_TCJA_LONG=1 pytest -n 0 -s tests/runtime/test_distributed.py --processes-steps 50
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.utils.shares import Share, share_of
from tests.conftest import long
from tests.runtime.runs_of_several import CONFIGS, NETWORKS, fit, fit_network, shared_batches, statistics
from tests.several import together

TOLERANCE = {
    "weights": 1e-5,  # and statistics
    "metrics": 1e-5,
    "judge": 1e-3,  # AdamW makes whole steps of a bias whose two gradients cancel but for rounding
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
        what = "judge" if name.startswith("beside.") else "weights"
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


SHORT = [("escape", 2), ("stochastic", 2), ("classifier", 3)]
LONG = [(kind, 2) for kind in [*CONFIGS, *NETWORKS] if (kind, 2) not in SHORT] + [("escape", 4)]
CASES = [*SHORT, *(pytest.param(*case, marks=long) for case in LONG)]


@pytest.mark.parametrize(("kind", "processes"), CASES)
def test_processes_follow_one(tmp_path, alone, steps, kind, processes):
    run(kind, tmp_path / "run", steps, processes)
    found = difference(alone(kind), tmp_path / "run")
    print(f"\n{kind}, {processes} processes, {steps} steps: {found}")  # the figures of docs/CLUSTER.md
    assert all(found[name] <= TOLERANCE[name] for name in TOLERANCE), found  # NaN is not


@pytest.mark.parametrize("processes", [2, 3])
def test_every_image_of_an_epoch_is_seen_once(tmp_path, processes):
    """Of 100 images six batches of 16, in two parts each; in the next epoch others are left out."""
    seen = together(processes, shared_batches, tmp_path / "run")
    assert not [error for error in seen if isinstance(error, BaseException)], seen
    (expected,) = together(1, shared_batches, tmp_path / "one")
    for epoch in range(2):
        parts = [set(images[epoch]) for images in seen]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 96  # no image twice
        assert set().union(*parts) == set(expected[epoch])


def test_a_batch_is_shared_evenly_and_needs_an_image_for_each(monkeypatch):
    monkeypatch.setattr("fsvae_tcja.utils.shares.world", lambda: 3)
    found = []
    for rank in range(3):
        monkeypatch.setattr("fsvae_tcja.utils.shares.rank", lambda rank=rank: rank)
        found.append(share_of(8))
    assert found == [Share(0, 2, 8), Share(2, 3, 8), Share(5, 3, 8)]
    with pytest.raises(ValueError, match=r"3 processes cannot share 2 image\(s\).*start fewer processes"):
        share_of(2)


def test_statistics_and_gradients_of_a_norm_are_those_of_the_whole_batch():
    """The fused norm and the plain one, against one process."""
    (expected,) = together(1, statistics)
    for found in (together(2, statistics), together(3, statistics)):
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


def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path):
    folder = tmp_path / "run"
    outcomes = together(2, fit, "classifier", folder, 12, False, {1: (7, "interrupt")})  # in the 4th step
    assert [(outcome.step, outcome.finished) for outcome in outcomes] == [(4, False)] * 2
    assert [outcome.step for outcome in together(2, fit, "classifier", folder, 12, True)] == [12, 12]


def torchrun(*args: object, check: bool = True) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", *map(str, args)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FSVAE_TCJA_BACKEND": "reference"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    assert not check or process.returncode == 0, out + err
    return subprocess.CompletedProcess(command, process.returncode, out, err)


TRAIN = ["fsvae_tcja", "train", "digits", "--model.T", "4", "--model.L", "8", "--model.latent.k", "3"]
TRAIN += ["--model.channels", "2", "3", "4", "5", "--device", "cpu", "--limit", "120", "--batch-size", "20"]
TRAIN += ["--log-every", "2", "--epochs", "3"]


@long
def test_torchrun_starts_again_and_goes_on_and_draws_the_same_images(tmp_path):
    """A process kills itself once, in the second epoch; --max-restarts 1. Then the images of one process and two."""
    script = tmp_path / "unlucky.py"
    script.write_text(
        "import os, signal, sys\n"
        "from fsvae_tcja.cli import main\n"
        "from fsvae_tcja.runtime.callbacks import Metrics\n"
        "step = Metrics.step\n"
        "def fatal(self, trainer, losses):\n"
        "    step(self, trainer, losses)\n"
        "    if (trainer.step, os.environ['RANK'], os.environ['TORCHELASTIC_RESTART_COUNT']) == (8, '1', '0'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Metrics.step = fatal\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "run"
    two = ["--standalone", "--nproc-per-node", 2]
    found = torchrun(*two, "--max-restarts", 1, script, *TRAIN[1:], "--out", out)
    assert found.stderr.count("error: another of the 2 processes has ended") == 1
    assert "Traceback" not in found.stdout and found.stdout.count("trained 12 steps") == 1  # after the first 6
    rows = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(rows) and rows[-1] == 18
    assert not list(out.glob(".*"))  # neither lock nor half a file
    for number in (1, 2):
        args = [out, "--batch-size", 16, "--out", tmp_path / f"{number}.npz"]
        torchrun("--standalone", "--nproc-per-node", number, "-m", "--", "fsvae_tcja", "sample", *args, "--n", 41)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
