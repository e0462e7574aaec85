"""The work is covered once, on as many threads as PyTorch has; a failure of any of them comes out."""

import pytest
import torch

from fsvae_tcja.core.kernels.common import threads


@pytest.fixture(params=["team", "pool"])
def way(request, monkeypatch) -> None:
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("GNU OpenMP is not here")


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_every_item_once(way, parts):
    ranges = []
    threads.run(lambda part, first, last: ranges.append((part, first, last)), 17, parts)
    assert [part for part, _, _ in sorted(ranges)] == list(range(parts))
    assert [i for _, first, last in sorted(ranges) for i in range(first, last)] == list(range(17))


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_comes_out(way, failing):
    def task(part: int, first: int, last: int) -> None:
        if part == failing:
            raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match=f"part {failing}"):
        threads.run(task, 9, 3)


def test_little_work_stays_on_one_thread():
    assert threads.chunks(10, threads.GRAIN) == 1
    assert threads.chunks(10**6, 10**9) == torch.get_num_threads()
    assert threads.chunks(1, 10**9) == 1
