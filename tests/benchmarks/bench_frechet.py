"""Time of the Frechet distance at 2048 dimensions against torch-fidelity's, which knows the CPU alone.

    python tests/benchmarks/bench_frechet.py [--device cuda]

Parity comes first: nothing is timed unless all values agree. The spectrum of the features falls over some decades; n is
above and below the dimension.
"""

import argparse

import torch
from timing import machine, paired
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from eval.measures.frechet import GaussianStatistics, frechet_distance
from fsvae_tcja.runtime.device import resolve

# (n, decades of the spectrum, agreement): torch-fidelity's unsymmetric product loses digits at deficient rank
CASES = ((6000, 1.0, 1e-9), (6000, 3.0, 1e-9), (1500, 2.0, 1e-6))


def statistics(n: int, dim: int, decades: float, seed: int) -> GaussianStatistics:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    latent = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return GaussianStatistics.of(latent * torch.logspace(0, -decades, dim, dtype=torch.float64) @ basis + 0.01 * seed)


def on(device: torch.device, statistics: GaussianStatistics) -> GaussianStatistics:
    return GaussianStatistics.from_moments(statistics.mean.to(device), statistics.covariance.to(device), n=statistics.n)


def fidelity(a: GaussianStatistics, b: GaussianStatistics) -> float:
    sides = [{"mu": s.mean.numpy(), "sigma": s.covariance.numpy()} for s in (a, b)]
    return fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = resolve(arguments.device)
    pairs = []
    for n, decades, tolerance in CASES:
        a, b = (statistics(n, arguments.dim, decades, seed) for seed in (1, 2))
        x, y = on(device, a), on(device, b)
        ours, theirs = frechet_distance(x, y), fidelity(a, b)
        difference = abs(ours - theirs) / theirs
        print(f"n {n}, {decades:.0f} decades: {ours:.9g}, torch-fidelity {theirs:.9g}, apart {difference:.0e}")
        assert difference < tolerance, f"expected agreement to {tolerance:.0e}"
        pairs.append((a, b, x, y))
    print(f"\n{machine()}")
    print(f"{arguments.dim} dimensions, ours on {device}, medians of {arguments.rounds} paired rounds")
    print("| n | decades | ours, s | torch-fidelity, s | times |\n|---|---|---|---|---|")
    for (n, decades, _), (a, b, x, y) in zip(CASES, pairs, strict=True):
        candidates = {"ours": lambda x=x, y=y: frechet_distance(x, y), "theirs": lambda a=a, b=b: fidelity(a, b)}
        times = paired(candidates, arguments.rounds)  # the value comes to the host: the GPU has finished
        ours, theirs = times["ours"], times["theirs"]
        print(f"| {n} | {decades:.0f} | {ours:.3g} | {theirs:.3g} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
