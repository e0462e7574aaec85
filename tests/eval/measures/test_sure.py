"""The share of sure images against closed forms."""

import math

import pytest
import torch

from eval.measures.sure import Sure, SureImages
from eval.protocols import STRICT


def share(logits: torch.Tensor, above: float = Sure().above, batch: int = 7) -> float:
    counted = SureImages(above, logits.shape[1])
    for start in range(0, len(logits), batch):
        counted.update(logits[start : start + batch], start)
    assert counted.n == len(logits)
    return counted.value()


def two_classes(p: float) -> torch.Tensor:
    """Logits [1, 2] of predictions (p, 1 - p)."""
    return torch.tensor([[p, 1 - p]], dtype=torch.float64).log()


def test_one_hot_is_sure_and_uniform_is_not():
    one_hot, uniform = 1000 * torch.eye(10).repeat(3, 1), torch.full((10, 10), 3.0)
    assert share(one_hot) == 1
    assert share(uniform) == 0
    assert share(torch.cat([one_hot, uniform])) == 0.75


def test_the_threshold_itself_is_not_sure():
    assert share(torch.zeros(4, 2), above=0.5) == 0  # (1/2, 1/2), without rounding
    assert share(two_classes(0.5 + 1e-12), above=0.5) == 1
    assert Sure().above == 0.95
    assert [share(two_classes(p)) for p in (0.95 - 1e-12, 0.95 + 1e-12)] == [0, 1]
    log_odds = math.log(19)  # .95 in float64 from logits in float32: type does not move the threshold
    assert [share(torch.tensor([[log_odds + d, 0.0]])) for d in (-1e-5, 1e-5)] == [0, 1]


def test_any_batch_size_and_order():
    logits = 4 * torch.randn(103, 10, generator=torch.Generator().manual_seed(0))
    expected = (logits.double().softmax(1).max(1).values > 0.95).sum().item() / 103
    assert 0.1 < expected < 0.9
    assert {share(logits, batch=batch) for batch in (1, 7, 64, 103)} == {share(logits.flip(0))} == {expected}


def test_of_several_processes_the_counts_are_added(monkeypatch):
    logits = 4 * torch.randn(103, 10, generator=torch.Generator().manual_seed(0))
    parts = [SureImages(0.95, 10), SureImages(0.95, 10)]
    parts[0].update(logits[:64], 0)
    parts[1].update(logits[64:], 64)
    monkeypatch.setattr("eval.measures.sure.total", lambda counts: sum(part.counts for part in parts))
    parts[0].reduce()
    assert parts[0].n == 103 and parts[0].value() == share(logits) != parts[1].value()


def test_bad_input():
    with pytest.raises(ValueError, match="logits hold NaN"):
        share(torch.full((4, 2), float("nan")))
    recipe = STRICT.recipe("Domain-sure")
    assert not recipe.compares
    with pytest.raises(ValueError, match="Domain-sure needs at least 2 images, found 1 to score"):
        Sure().check(recipe, 1)
