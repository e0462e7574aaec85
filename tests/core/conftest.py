from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from fsvae_tcja.core import SURROGATES, LIFParams, Rule, Surrogate

DATA = Path(__file__).parents[1] / "golden"

FAMILIES = [
    LIFParams(0.5, 0.7, 0.6, strict, hard, detach, Surrogate(kind, 1.3))
    for kind, strict, hard, detach in product(SURROGATES, (False, True), (False, True), (False, True))
]
"""Every combination of flags; the decay is a power of two."""


def parabola(r, a, b):
    """A surrogate of one's own: 3/4 (w^2 - r^2) / w^3 where r < w, with a = w, b = 3 / (4 w^3)."""
    return (r < a) * (a - r) * (a + r) * b


def parabola_primitive(d, w):
    q = (d / w).clamp(-1, 1)
    return 0.5 + 0.75 * q - 0.25 * q**3


OWN_RULE = Rule(parabola, lambda w: (w, 0.75 / w**3), parabola_primitive)


def name(params: LIFParams) -> str:
    flags = ("strict", "hard_reset", "detach_reset")
    return "-".join([params.surrogate.kind, *(flag for flag in flags if getattr(params, flag))])


def load(name: str) -> dict[str, torch.Tensor]:
    """A golden file of tests/data as tensors."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def assert_alive(spikes: torch.Tensor) -> None:
    """Some neurons fired and some were silent: else the test behind it proves little."""
    assert set(spikes.unique().tolist()) == {0.0, 1.0}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uninitialised memory holds NaN, so that a value that is read before it is written shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
