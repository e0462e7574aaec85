"""Time of the Frechet distance at 2048 dimensions against torch-fidelity's.

    python tests/benchmarks/bench_frechet.py

Parity comes first: no time is printed unless both agree. The spectrum of the features falls over some decades; n is
above and below the dimension.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from eval.frechet import GaussianStatistics, frechet_distance


def statistics(n: int, dim: int, decades: float, seed: int) -> GaussianStatistics:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    latent = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return GaussianStatistics.of(latent * torch.logspace(0, -decades, dim, dtype=torch.float64) @ basis + 0.01 * seed)


def reference(a: GaussianStatistics, b: GaussianStatistics) -> float:
    sides = [{"mu": s.mean.numpy(), "sigma": s.covariance.numpy()} for s in (a, b)]
    return fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID]


def best_of_each(functions: list[Callable], repeats: int) -> list[tuple[float, float]]:
    """Value and shortest time in seconds of each function; they take turns, so that a busy machine slows them alike."""
    times: list[list[float]] = [[] for _ in functions]
    values = [0.0] * len(functions)
    for _ in range(repeats):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            values[i] = function()
            times[i].append(time.perf_counter() - began)
    return [(value, min(seconds)) for value, seconds in zip(values, times, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{arguments.dim} dimensions, {torch.get_num_threads()} threads, best of {arguments.repeats}")
    # (n, decades of the spectrum, agreement): torch-fidelity's unsymmetric product loses digits at deficient rank
    for n, decades, tolerance in ((6000, 1.0, 1e-9), (6000, 3.0, 1e-9), (1500, 2.0, 1e-6)):
        a, b = (statistics(n, arguments.dim, decades, seed) for seed in (1, 2))
        (ours, time_ours), (theirs, time_theirs) = best_of_each(
            [lambda a=a, b=b: frechet_distance(a, b), lambda a=a, b=b: reference(a, b)], arguments.repeats
        )
        difference = abs(ours - theirs) / theirs
        assert difference < tolerance, f"n {n}: {ours} and {theirs} differ by {difference:.1e}"
        print(
            f"n {n}, {decades:.0f} decades: agree to {difference:.0e}; ours {time_ours:.2f} s, "
            f"torch-fidelity {time_theirs:.2f} s, {time_theirs / time_ours:.1f} times faster"
        )
        same = frechet_distance(a, a)
        print(f"    distance to itself {same:.1e}, trace {a.covariance.trace():.0f}")


if __name__ == "__main__":
    main()
