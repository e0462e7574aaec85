"""The Frechet distance against closed forms, torch-fidelity and scipy; the streaming moments against numpy."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from eval.measures.frechet import GaussianStatistics, covariance_root, frechet_distance
from tests.conftest import long


def gaussian(mean, covariance, n=1000) -> GaussianStatistics:
    return GaussianStatistics.from_moments(
        torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(covariance, dtype=torch.float64), n
    )


def features(n: int, d: int, seed: int, decay: float = 1.0) -> torch.Tensor:
    """Correlated features whose spectrum falls over `decay` decades, shifted by the seed."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(99), dtype=torch.float64) / math.sqrt(d)
    scales = torch.logspace(0, -decay, d, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scales @ mix + 0.1 * seed


def fidelity_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    stats = [{"mu": s.mean.numpy(), "sigma": s.covariance.numpy()} for s in (a, b)]
    return fid_statistics_to_metric(*stats, verbose=False)[KEY_METRIC_FID]


def scipy_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy())
    shift = (a.mean - b.mean).square().sum().item()
    return shift + a.covariance.trace().item() + b.covariance.trace().item() - 2 * np.trace(root).real


def test_one_dimension_closed_form():
    # (m1 - m2)^2 + (s1 - s2)^2 with m = 1, -2 and s = 3, 5
    assert frechet_distance(gaussian([1.0], [[9.0]]), gaussian([-2.0], [[25.0]])) == pytest.approx(13.0, rel=1e-12)


def test_commuting_covariances_closed_form():
    # the same eigenvectors: sum of (sqrt(l1) - sqrt(l2))^2
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    l1 = torch.tensor([1.0, 4, 9, 16, 25, 36], dtype=torch.float64)
    l2 = torch.tensor([4.0, 4, 1, 1, 0.25, 9], dtype=torch.float64)
    a, b = (gaussian(torch.zeros(6), rotation * values @ rotation.T) for values in (l1, l2))
    assert frechet_distance(a, b) == pytest.approx((l1.sqrt() - l2.sqrt()).square().sum().item(), rel=1e-12)


@pytest.mark.parametrize("n", [200, 20])  # full and deficient rank
def test_identity_symmetry_rotation_shift(n):
    x, y = features(n, 40, 1), features(n, 40, 2)
    a, b = GaussianStatistics.of(x), GaussianStatistics.of(y)
    scale = a.covariance.trace().item()
    distance = frechet_distance(a, b)
    assert frechet_distance(a, a) <= 1e-10 * scale
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-10)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64))[0]
    rotated = frechet_distance(GaussianStatistics.of(x @ rotation), GaussianStatistics.of(y @ rotation))
    assert rotated == pytest.approx(distance, rel=1e-8)
    shifts = [frechet_distance(a, GaussianStatistics.of(x + shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert shifts == pytest.approx([40 * shift**2 for shift in (0.0, 0.5, 1.0, 2.0)], rel=1e-10, abs=1e-10 * scale)


@pytest.mark.parametrize(
    ("n", "d", "decay", "rel"),
    [(300, 64, 0.5, 1e-9), (300, 64, 2.0, 1e-9), pytest.param(600, 256, 2.0, 1e-6, marks=long)],
)
def test_agrees_with_torch_fidelity_and_scipy(n, d, decay, rel):
    """At full rank, where the eigenvalues of the unsymmetric product S_a S_b are sound.

    `calculate_metrics` is compared in the 64 features of the lowest Inception layer (test_inception.py): its FID in
    2048 would take more than 2048 images to be of full rank, and at deficient rank its vanishing eigenvalues, computed
    as roots of rounding errors, move the trace by 1e-3.
    """
    a, b = (GaussianStatistics.of(features(n, d, seed, decay)) for seed in (1, 2))
    distance = frechet_distance(a, b)
    assert distance == pytest.approx(fidelity_distance(a, b), rel=rel)
    assert distance == pytest.approx(scipy_distance(a, b), rel=rel)


def root_by_eigenvectors(covariance: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()


def test_a_root_overlaps_as_that_by_eigenvectors_at_full_and_deficient_rank():
    for n in (300, 20):
        a, b = (GaussianStatistics.of(features(n, 48, seed, 2.0)).covariance for seed in (1, 2))
        assert covariance_root(a).shape == (48, min(n - 1, 48))
        torch.testing.assert_close(covariance_root(a) @ covariance_root(a).T, a, rtol=0, atol=1e-13)
        overlaps = [
            torch.linalg.svdvals(root(a).T @ root(b)).sum().item() for root in (covariance_root, root_by_eigenvectors)
        ]
        assert overlaps[0] == pytest.approx(overlaps[1], rel=1e-6)


def test_degenerate_covariances_give_finite_distances():
    zero, point = gaussian([0.0, 0.0], torch.zeros(2, 2)), gaussian([3.0, 4.0], torch.zeros(2, 2))
    assert frechet_distance(zero, point) == 25.0
    line = gaussian([0.0, 0.0], [[4.0, 0.0], [0.0, 0.0]])
    across = gaussian([0.0, 0.0], [[0.0, 0.0], [0.0, 9.0]])
    assert frechet_distance(line, across) == pytest.approx(13.0, rel=1e-12)  # no overlap: both traces
    assert frechet_distance(line, zero) == pytest.approx(4.0, rel=1e-12)


def test_small_distance_is_not_lost():
    covariance = torch.diag(torch.linspace(1, 2, 8, dtype=torch.float64))
    moved = torch.full((8,), 1e-5, dtype=torch.float64)
    assert frechet_distance(gaussian(torch.zeros(8), covariance), gaussian(moved, covariance)) == pytest.approx(
        8e-10, rel=1e-4
    )


def test_bias_of_small_samples():
    """Two samples of one Gaussian: the expected distance falls with n, so n belongs to the score."""
    draws = [torch.randn(2 * n, 32, generator=torch.Generator().manual_seed(n)) for n in (64, 640, 6400)]
    distances = [frechet_distance(*(GaussianStatistics.of(part) for part in x.chunk(2))) for x in draws]
    assert distances[0] > 5 * distances[1] > 25 * distances[2] > 0


def test_streaming_moments_match_numpy_for_any_batching():
    x = features(1000, 16, 1) + 1000  # a large mean: sums of squares would lose seven digits
    for batch in (1, 7, 256, 1000):
        statistics = GaussianStatistics(16)
        for part in x.split(batch):
            statistics.update(part)
        assert statistics.n == 1000
        np.testing.assert_allclose(statistics.mean, x.numpy().mean(0), rtol=1e-14)
        expected = np.cov(x.numpy(), rowvar=False)
        np.testing.assert_allclose(statistics.covariance, expected, rtol=0, atol=1e-12 * expected.max())


def test_float32_features_are_summed_in_float64():
    x = features(4000, 4, 1).float() + 100
    expected = torch.cov(x.double().T)
    torch.testing.assert_close(GaussianStatistics.of(x).covariance, expected, rtol=1e-10, atol=1e-14)


def test_bad_input():
    a = gaussian([0.0, 0.0], torch.eye(2))
    with pytest.raises(ValueError, match="2 dimensions with features of 3"):
        frechet_distance(a, gaussian(torch.zeros(3), torch.eye(3)))
    with pytest.raises(ValueError, match="at least 2 samples, found 1"):
        frechet_distance(a, GaussianStatistics.of(torch.ones(1, 2)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        GaussianStatistics.of(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        frechet_distance(a, gaussian([0.0, float("inf")], torch.eye(2)))
    with pytest.raises(ValueError, match="expected features of 2 dimensions, found 3"):
        GaussianStatistics(2).update(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="floating point features"):
        GaussianStatistics.of(torch.zeros(4, 3, dtype=torch.uint8))
    for matrix in ([[1.0, 0.0], [0.0, -0.5]], [[0.0, 1.0], [1.0, 0.0]], [[5.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]):
        with pytest.raises(ValueError, match="negative eigenvalues"):
            covariance_root(torch.tensor(matrix, dtype=torch.float64))
    with pytest.raises(ValueError, match="not symmetric"):
        frechet_distance(a, gaussian([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"expected floating point moments, found torch.float64 and torch.complex64"):
        GaussianStatistics.from_moments(torch.zeros(2).double(), torch.zeros(2, 2, dtype=torch.complex64), 9)
    with pytest.raises(ValueError, match=r"mean \[d\] and a covariance \[d, d\]"):
        gaussian([0.0, 0.0], torch.eye(3))
