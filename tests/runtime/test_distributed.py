"""Two processes, or four, follow one: weights, statistics and losses."""

import math
from pathlib import Path

import pytest
import torch

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.run import RunFolder
from tests.runtime.runs_of_several import CONFIGS, NETWORKS, fit, fit_network
from tests.several import together

TOLERANCE = 1e-5


def run(kind: str, folder: Path, steps: int, processes: int) -> None:
    found = together(processes, fit_network if kind in NETWORKS else fit, kind, folder, steps)
    assert not [error for error in found if isinstance(error, BaseException)], found


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.double() - b.double()).abs().max().item() if a.numel() else 0.0


def difference(one: Path, other: Path) -> dict[str, float]:
    """The largest differences of weights and statistics, and of the rows of metrics."""
    worst = {}
    a, b = (checkpoint.read(folder / "checkpoint.safetensors")[0] for folder in (one, other))
    assert a.keys() == b.keys()
    worst["weights"] = max(far(a[name], b[name]) for name in a if not name.startswith("optimizer."))
    rows = [RunFolder(folder, True).read_metrics() for folder in (one, other)]
    assert len(rows[0]) == len(rows[1]) > 1
    worst["metrics"] = 0.0
    for x, y in zip(*rows, strict=True):
        assert x.keys() == y.keys()
        for name in x.keys() - {"images_per_second"}:
            worst["metrics"] = max(worst["metrics"], abs(x[name] - y[name]) / max(1, abs(x[name])))
    return worst


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")

    def of(kind: str, steps: int) -> Path:
        path = folder / f"{kind}-{steps}"
        if not path.exists():
            run(kind, path, steps, 1)
        return path

    return of


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("kind", [*CONFIGS, "autoencoder", "domain"])
def test_processes_follow_one(tmp_path, alone, kind, processes):
    if kind in NETWORKS and processes > 3:
        pytest.skip("its last batch has 3 images")
    steps = 10
    run(kind, tmp_path / "run", steps, processes)
    found = difference(alone(kind, steps), tmp_path / "run")
    print(kind, processes, found)
    assert all(value <= TOLERANCE and math.isfinite(value) for value in found.values()), found
