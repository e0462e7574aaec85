"""Frechet distance between Gaussians, and the Gaussian of a stream of features. All of it in float64."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpstrf
from torch import Tensor

from fsvae_tcja.utils.processes import total

from .measure import Measure, Values, beyond_rounding, check_features, collapse_notes

if TYPE_CHECKING:
    from ..protocols import Recipe


class GaussianStatistics:
    """Mean and covariance of features seen batch by batch, in O(d^2) memory.

    Two sets a, b with means m and scatters M = sum (x - m)(x - m)^T join as (Chan, Golub, LeVeque 1979)

        n = n_a + n_b ;  delta = m_b - m_a
        m = m_a + delta n_b / n ;  M = M_a + M_b + delta delta^T n_a n_b / n

    so any batch size and any split over processes gives the same numbers up to rounding.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        if dim < 1:
            raise ValueError(f"features need at least one dimension, found {dim}")
        self.n = 0
        self.counted = True  # False: n is unknown, and 2 stands for it
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)  # [d]
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)  # [d, d]

    @classmethod
    def of(cls, features: Tensor) -> GaussianStatistics:
        """Statistics of features [N, d]."""
        check_features(features)
        statistics = cls(features.shape[1], features.device)
        statistics.update(features)
        return statistics

    @classmethod
    def from_moments(cls, mean: Tensor, covariance: Tensor, n: int | None) -> GaussianStatistics:
        """Statistics known by their mean [d], covariance [d, d] (with n - 1) and number of samples (None: unknown).

        Raises:
            ValueError: other shapes or types, values that are not finite, or a covariance that is not symmetric.
        """
        dim = mean.numel()
        if not (mean.is_floating_point() and covariance.is_floating_point()):
            raise ValueError(f"expected floating point moments, found {mean.dtype} and {covariance.dtype}")
        if mean.dim() != 1 or covariance.shape != (dim, dim):
            raise ValueError(
                f"expected a mean [d] and a covariance [d, d], found {list(mean.shape)} and {list(covariance.shape)}"
            )
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise ValueError("the statistics hold NaN or infinite values")
        if (covariance - covariance.T).abs().max() > 1e-6 * covariance.abs().max():
            raise ValueError("the covariance is not symmetric: these are not the statistics of any features")
        statistics = cls(dim, mean.device)
        statistics.n, statistics.counted = n or 2, n is not None
        statistics.mean = mean.double()
        statistics.scatter = covariance.double() * (statistics.n - 1)
        return statistics

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """[d, d], with n - 1.

        Raises:
            ValueError: fewer than two samples.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, found {self.n}; score more images")
        return self.scatter / (self.n - 1)

    @property
    def variance(self) -> float:
        """Summed over the dimensions: the trace of the covariance; 0 of equal features."""
        return beyond_rounding(self.covariance.trace().item(), self.mean.square().sum().item())

    def update(self, features: Tensor, start: int = 0) -> None:
        """Add features [B, d] of any floating point type; moments do not depend on their position `start`.

        Raises:
            ValueError: another shape, or NaN or infinite features.
        """
        check_features(features)
        if features.shape[1] != self.dim:
            raise ValueError(f"expected features of {self.dim} dimensions, found {features.shape[1]}")
        features = features.to(self.mean.device).double()
        mean = features.mean(0)
        centred = features - mean
        self._join(len(features), mean, centred.T @ centred)

    def reduce(self) -> None:
        """Join what all processes have seen, so that each holds the statistics of all."""
        n = total(torch.tensor(float(self.n), dtype=torch.float64, device=self.mean.device))
        mean = total(self.mean * self.n) / n
        shift = self.mean - mean
        self.scatter = total(self.scatter + self.n * torch.outer(shift, shift))
        self.mean = mean
        self.n = int(n)

    def _join(self, n: int, mean: Tensor, scatter: Tensor) -> None:
        if n == 0:
            return
        joined = self.n + n
        delta = mean - self.mean
        self.mean = self.mean + delta * (n / joined)
        self.scatter = self.scatter + scatter + torch.outer(delta, delta) * (self.n * n / joined)
        self.n = joined


class Frechet(Measure[GaussianStatistics]):
    """The Frechet distance between the Gaussians of both sides."""

    collector = GaussianStatistics
    better, bounds = "lower", (0.0, math.inf)

    def collect(self, recipe: Recipe, dim: int, n: int | None, device: torch.device) -> GaussianStatistics:
        return GaussianStatistics(dim, device)

    def value(self, recipe: Recipe, scored: GaussianStatistics, reference: GaussianStatistics | None) -> Values:
        assert reference is not None, "it compares"
        return {recipe.score: (frechet_distance(scored, reference), None)}

    def notes(
        self, recipe: Recipe, scored: GaussianStatistics, reference: GaussianStatistics | None
    ) -> tuple[str, ...]:
        assert reference is not None, "it compares"
        few = tuple(
            f"{recipe.score}: {side.n} {which} images for {side.dim} features: their covariance has rank {side.n - 1} "
            "at most, the distance is biased upwards"
            for which, side in (("scored", scored), ("reference", reference))
            if side.counted and side.n <= side.dim
        )
        for note in few:
            warnings.warn(note, stacklevel=2)
        return few + collapse_notes(recipe.score, scored.variance, reference.variance)


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """Squared Frechet (2-Wasserstein) distance between two Gaussians.

        |mu_a - mu_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a S_b)^(1/2))

    With S = A A^T the last trace is the sum of the singular values of A_a^T A_b: the roots of the eigenvalues of one
    symmetric matrix. Nothing becomes complex, and covariances of deficient rank need no special case. All of it is
    computed on the CPU, wherever the statistics lie, so that a distance does not depend on the device.

    A tiny distance is a difference of large traces, known to some 1e-14 of them, and for ill-conditioned spectra whose
    overlap has singular values near zero, the roots of squares, to no better than 1e-8: below that, digits are noise.

    Returns:
        a finite float >= 0.

    Raises:
        ValueError: different dimensions, fewer than 2 samples, or a matrix with clearly negative eigenvalues, which is
            no covariance.
    """
    if a.dim != b.dim:
        raise ValueError(f"cannot compare features of {a.dim} dimensions with features of {b.dim}")
    root_a, root_b = (covariance_root(side.covariance.cpu()) for side in (a, b))
    overlap = _singular_values(root_a.T @ root_b).sum()  # of [r_a, r_b]
    shift = (a.mean.cpu() - b.mean.cpu()).square().sum()
    distance = shift + root_a.square().sum() + root_b.square().sum() - 2 * overlap
    # |A|^2 + |B|^2 >= 2 |A^T B|_nuclear: below zero there is rounding only.
    return max(distance.item(), 0.0)


def _singular_values(matrix: Tensor) -> Tensor:
    """By the eigenvalues of the smaller Gram matrix, of which one triangle is enough."""
    if matrix.numel() == 0:
        return matrix.new_zeros(0)
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    squares = torch.from_numpy(np.linalg.eigvalsh(dsyrk(1.0, matrix.numpy().T, lower=1), "L"))
    return squares.clamp_min(0).sqrt()


def covariance_root(covariance: Tensor) -> Tensor:
    """A [d, r] with A A^T = covariance [d, d], a tensor on the CPU, r its numerical rank: by pivoted Cholesky.

    Raises:
        ValueError: the matrix is not positive semi-definite.
    """
    # P^T S P = L L^T, which stops at pivots below d eps max(S)
    factor, pivots, rank, _ = dpstrf(covariance.numpy().T, lower=1)
    root = torch.zeros(len(covariance), rank, dtype=torch.float64)
    root[torch.from_numpy(pivots).long() - 1] = torch.from_numpy(factor).tril()[:, :rank]
    # E |R v|^2 = |R|_F^2 for R = covariance - A A^T and v normal: O(d^2) instead of O(d^3)
    probe = torch.randn(len(covariance), 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    missing = covariance @ probe - root @ (root.T @ probe)
    if missing.norm() > 1e-6 * covariance.trace().abs():
        raise ValueError("the covariance has negative eigenvalues: these are not the statistics of any features")
    return root
