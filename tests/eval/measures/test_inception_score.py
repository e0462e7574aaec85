"""The Inception Score against closed forms and torch-fidelity."""

import math

import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

from eval.measures.inception_score import Predictions, split_of_each


def inception_score(logits: torch.Tensor, splits: int, shuffled: bool = False, batch: int = 7) -> tuple[float, float]:
    result = Predictions(split_of_each(len(logits), splits, "shuffled" if shuffled else "in order"), logits.shape[1])
    for start in range(0, len(logits), batch):
        result.update(logits[start : start + batch], start)
    return result.value()


def test_constant_predictions_score_one():
    logits = torch.randn(10).expand(40, 10)
    assert inception_score(logits, 4) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_balanced_one_hots_score_the_number_of_classes():
    logits = 1000 * torch.eye(10).repeat(8, 1)  # probabilities that underflow to 0 and 1
    assert inception_score(logits, 2) == pytest.approx((10.0, 0.0), rel=1e-12)


def test_two_classes_closed_form():
    # half the images predict (p, 1 - p), half (1 - p, p): log IS = log 2 - H(p)
    p = 0.8
    logits = torch.tensor([[p, 1 - p], [1 - p, p]], dtype=torch.float64).log().repeat(10, 1)
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    assert inception_score(logits, 1)[0] == pytest.approx(2 * math.exp(-entropy), rel=1e-12)


@pytest.mark.parametrize("n", [100, 103])
@pytest.mark.parametrize("shuffled", [True, False])
def test_agrees_with_torch_fidelity_for_any_batch(n, shuffled):
    logits = 3 * torch.randn(n, 20, generator=torch.Generator().manual_seed(0))
    expected = isc_features_to_metric(logits, splits=10, shuffle=shuffled)
    for batch in (1, 7, n):
        mean, std = inception_score(logits, 10, shuffled, batch)
        assert mean == pytest.approx(expected[KEY_METRIC_ISC_MEAN], rel=1e-12)
        assert std == pytest.approx(expected[KEY_METRIC_ISC_STD], rel=1e-10)


def test_bad_input():
    with pytest.raises(ValueError, match="over 10 splits needs at least 10 images, found 9"):
        split_of_each(9, 10, "shuffled")
    with pytest.raises(ValueError, match="logits hold NaN"):
        inception_score(torch.full((4, 2), float("nan")), 1)
