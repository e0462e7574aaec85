"""Distances between the spikes of posterior and prior."""

import torch
from torch import Tensor

KLD_WEIGHT = 1e-4  # in the loss; this and the next as in the program published with FSVAE 2022
KLD_EPS = 1e-2  # added to each probability, so that a neuron that never fires has a logarithm


def psp(x: Tensor, tau_s: float = 2.0) -> Tensor:
    """Post-synaptic potential, s_t = s_{t-1} + (x_t - s_{t-1}) / tau_s with s_0 = 0. [T, ...] -> [T, ...].

    Linear in x: s_t = sum over r <= t of (1/tau_s) (1 - 1/tau_s)^(t-r) x_r.
    """
    t = torch.arange(len(x), device=x.device)
    lag = (t[:, None] - t[None, :]).to(x.dtype)  # [T, T]
    kernel = torch.where(lag >= 0, (1 - 1 / tau_s) ** lag.clamp(min=0) / tau_s, 0.0)
    return torch.tensordot(kernel, x, dims=1)


def _rate(spikes: Tensor) -> Tensor:
    """Mean over k, [T, N, L, k] -> [T, N, L], in float32 whatever the type of the spikes."""
    return spikes.mean(-1, dtype=torch.float32)


def mmd(q: Tensor, p: Tensor) -> Tensor:
    """Mean over T, N, L of (PSP(mean_k q) - PSP(mean_k p))^2; q, p are spikes [T, N, L, k]."""
    return psp(_rate(q) - _rate(p)).square().mean()


def kld(q: Tensor, p: Tensor) -> Tensor:
    """Bernoulli KL divergence, summed over T and L, mean over N; q, p are spikes [T, N, L, k]."""
    q, p = _rate(q), _rate(p)
    eps = KLD_EPS
    divergence = q * torch.log((q + eps) / (p + eps)) + (1 - q) * torch.log((1 - q + eps) / (1 - p + eps))
    return divergence.sum(dim=(0, 2)).mean()


def mmd_rbf(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two samples x, y [n, D], n > 1, by a sum of five Gaussian kernels.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k(a, b) = sum_i exp(-|a - b|^2 / (2^i h)), i = -2..2, where h is the
    mean of |a - b|^2 over all pairs of different rows of both samples, without gradient (arXiv 1502.02791).
    """
    both = torch.cat([x, y])
    squares = both.square().sum(1)
    distance = (squares[:, None] + squares - 2 * both @ both.T).clamp(min=0)  # [2n, 2n]
    h = distance.detach().sum() / (len(both) * (len(both) - 1))
    widths = (2.0**i * h.clamp(min=1e-30) for i in range(-2, 3))
    kernel = torch.stack([torch.exp(-distance / width) for width in widths]).sum(0)
    n = len(x)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
