"""MIND, density, coverage, AuthPct and FD-infinity against published programs, closed forms and invariances."""

import math

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch import Tensor

from eval.measures import FeatureStore
from eval.measures.authpct import authentic
from eval.measures.density_coverage import density_and_coverage
from eval.measures.fd_infinity import fd_infinity, line_at_zero, sizes
from eval.measures.frechet import GaussianStatistics, frechet_distance
from eval.measures.mind import mind


def normal(n: int, d: int, seed: int, mean: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + mean


def rotation(d: int) -> Tensor:
    return torch.linalg.qr(normal(d, d, 7))[0]


def fidelitys_mind(x: Tensor, y: Tensor) -> float:
    """As torch-fidelity 0.5.0 computes it: float32, one product; unit directions of its seed 2020, alpha = 3 d."""
    generator, n = torch.Generator().manual_seed(2020), min(len(x), len(y))
    if len(x) > n:
        x = x[torch.randperm(len(x), generator=generator)[:n]]
    if len(y) > n:
        y = y[torch.randperm(len(y), generator=generator)[:n]]
    u = torch.nn.functional.normalize(torch.randn(1000, x.shape[1], generator=generator))
    a, b = ((side.float() @ u.T).sort(0).values for side in (x, y))
    return 3 * x.shape[1] * (a - b).square().mean(0).mean().item()


@pytest.mark.parametrize(("n", "m"), [(300, 300), (300, 200), (150, 310)])
def test_mind_is_torch_fidelitys(n, m):
    x, y = normal(n, 24, 0), 1.5 * normal(m, 24, 1, 0.3)
    expected = fidelitys_mind(x, y)
    assert expected > 1 and mind(x, y) == pytest.approx(expected, rel=1e-6)


def test_mind_of_a_shift():
    """Sorted projections of x + c differ by u c: 3 d E (u c)^2 = 3 |c|^2, for whatever x."""
    x, shift = normal(50, 16, 0), normal(1, 16, 1)
    assert mind(x, x + shift, directions=20_000) == pytest.approx(3 * shift.square().sum().item(), rel=0.05)
    one = normal(50, 1, 0)  # in one dimension there are two directions only
    assert mind(one, one + 2) == pytest.approx(12, rel=1e-12)
    assert mind(one, 3 * one) == pytest.approx(3 * (2 * one).square().mean().item(), rel=1e-12)


def test_mind_knows_no_order_and_is_symmetric():
    x, y = normal(80, 8, 0), normal(80, 8, 1)
    assert mind(x, x.flip(0)) < 1e-25 < 0.1 < mind(x, y)  # projections of a batch may differ in the last bit
    assert mind(y, x) == mind(x, y) == pytest.approx(mind(x.flip(0), y), rel=1e-12)


@pytest.mark.parametrize(("n", "m", "mean"), [(60, 150, 0.5), (120, 220, 0.7), (1050, 1020, 0.2)])
def test_density_and_coverage_are_prdcs(n, m, mean):
    x, y = normal(n, 6, 0, mean), normal(m, 6, 1)
    expected = compute_prdc(y.numpy(), x.numpy(), nearest_k=5)
    density, coverage = density_and_coverage(x, y, 5)
    assert 0 < coverage < 1
    assert (density, coverage) == pytest.approx((expected["density"], expected["coverage"]), abs=1e-6)


def test_density_and_coverage_on_a_line():
    """Reference 0, 1, .., 9, k = 1: every ball reaches to 1 and excludes it. x = .5 lies in the balls of 0 and 1."""
    y = torch.arange(10.0)[:, None]
    assert density_and_coverage(torch.tensor([[0.5]]), y, 1) == (2.0, 0.2)
    assert density_and_coverage(torch.tensor([[0.5], [100.0]]), y, 1) == (1.0, 0.2)
    assert density_and_coverage(y, y, 1) == (1.0, 1.0)
    assert density_and_coverage(y + 100, y, 1) == (0.0, 0.0)


def test_authentic_on_a_line():
    """Training 0, 1, 3: their nearest others are at 1, 1 and 2."""
    training = torch.tensor([[0.0], [1.0], [3.0]])
    for x, share in ((0.0, 0), (-0.9, 0), (-1.1, 1), (4.9, 0), (5.1, 1), (1.0, 0)):
        assert authentic(torch.tensor([[x]]), training) == share, x
    assert authentic(torch.tensor([[0.0], [5.1], [-2.0], [9.0]]), training) == 0.75


def test_authentic_of_copies_and_of_the_same_distribution():
    training, others = normal(1200, 4, 0), normal(1200, 4, 1)
    assert authentic(training[:300], training) == 0
    fresh = authentic(others, training)
    assert 0.4 < fresh < 0.6
    some = torch.cat([training[:600], others[:600]])
    assert authentic(some, training) == pytest.approx(authentic(others[:600], training) / 2, abs=1e-12)


def test_equal_images_are_at_no_distance_whatever_their_batch_did_to_the_last_bit():
    """Training images that are there twice have a neighbour at 0, so that a copy of one is no nearer than that."""
    images, last_bit = 3 * normal(300, 64, 0, 2), 1e-14 * normal(300, 64, 1)
    assert authentic(images + last_bit, torch.cat([images, images])) == 0
    assert authentic(images + 1e-2 * normal(300, 64, 1), torch.cat([images, images])) == 1
    equal = torch.ones(100, 64)
    reference = torch.cat([images, equal])  # balls around those that are equal are open, of radius 0, and hold none
    assert density_and_coverage(equal + 1e-2 * last_bit[:100], reference, 5) == (0, 0)


@pytest.mark.parametrize("measure", [lambda x, y: density_and_coverage(x, y, 3), authentic])
def test_neither_rotation_nor_shift_matters_to_neighbours(measure):
    x, y = normal(200, 12, 0), normal(200, 12, 1)
    assert measure(x @ rotation(12) + 1000, y @ rotation(12) + 1000) == measure(x, y)


def test_mind_of_a_rotation_differs_by_its_directions_alone():
    x, y = normal(200, 12, 0), 2 * normal(200, 12, 1)
    assert mind(x @ rotation(12) + 10, y @ rotation(12) + 10) == pytest.approx(mind(x, y), rel=0.05)


def test_a_line_at_zero():
    x = 1 / np.array([10.0, 20, 50, 100])
    assert line_at_zero(x, 3 + 40 * x) == pytest.approx((3, 0), abs=1e-9)
    noisy = 3 + 40 * x + np.array([0.1, -0.2, 0.05, 0.1])
    design = np.stack([np.ones(4), x], 1)
    solved, (square,), *_ = np.linalg.lstsq(design, noisy, rcond=None)
    error = math.sqrt(square / 2 * np.linalg.inv(design.T @ design)[0, 0])
    assert line_at_zero(x, noisy) == pytest.approx((solved[0], error), rel=1e-9)


def test_fd_infinity_takes_the_bias_out():
    """A sample of a Gaussian against that Gaussian itself: above 0 at any n, and 0 at infinity."""
    assert sizes(2000) == [int(200 + i * 1800 / 14) for i in range(15)]
    x, reference = normal(2000, 16, 0), GaussianStatistics.from_moments(torch.zeros(16), torch.eye(16), 10**6)
    plain = frechet_distance(GaussianStatistics.of(x), reference)
    assert plain > 0.03 and abs(fd_infinity(x, reference)[0]) < 0.4 * plain
    shifted = fd_infinity(x + 1, reference)[0]
    assert shifted == pytest.approx(16, rel=0.05)


def test_bad_input():
    for measure in (mind, authentic, lambda x, y: density_and_coverage(x, y, 1)):
        with pytest.raises(ValueError, match="features of 3 dimensions with features of 4"):
            measure(normal(9, 3, 0), normal(9, 4, 0))


def test_features_are_put_together_once_and_are_a_tensor_like_any_other():
    store, x = FeatureStore(), normal(50, 4, 0)
    with torch.inference_mode():  # as scores are computed
        store.update(x[20:] * 1, 20)
        store.update(x[:20] * 1, 0)
        store.reduce()
    once, again = store.features, store.features
    assert store.n == 50 and torch.equal(once, x) and once.data_ptr() == again.data_ptr()
    weight = torch.ones(4, 1, dtype=torch.float64, requires_grad=True)
    (once @ weight).sum().backward()  # a measure may train something on them
    torch.testing.assert_close(weight.grad[:, 0], x.sum(0))
