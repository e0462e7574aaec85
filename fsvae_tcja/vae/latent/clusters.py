"""Clusters of codes, found without labels."""

import torch
from torch import Tensor

SHOWN = 20_000  # codes that the centres are found on
ROUNDS = 20


def find_centres(codes: Tensor, clusters: int, seed: int = 0) -> Tensor:
    """Centres [clusters, D] of codes [n, D] in {0, 1}: k-means, from codes chosen at random (Lloyd 1982).

    Raises:
        ValueError: more clusters than codes.
    """
    if clusters > len(codes):
        raise ValueError(f"there cannot be {clusters} clusters of {len(codes)} codes; ask for fewer (clusters)")
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[: max(SHOWN, clusters)]
    codes = codes[order.to(codes.device)].float()
    centres = codes[:clusters].clone()
    for _ in range(ROUNDS):
        near = nearest(codes, centres)
        count = torch.bincount(near, minlength=clusters)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, near, codes)
        centres = torch.where(count > 0, sums / count.clamp(min=1), centres)
    return centres


def nearest(codes: Tensor, centres: Tensor) -> Tensor:
    """The number of the centre [K, D] that is nearest to each code [n, D], int64 [n]."""
    with torch.autocast(codes.device.type, enabled=False):
        return torch.cat(
            [(centres.square().sum(1) - 2 * part.float() @ centres.T).argmin(1) for part in codes.split(4096)]
        )
