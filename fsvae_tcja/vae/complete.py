"""Images whose codes begin alike: the rest of a code is drawn from the prior."""

import torch
from torch import Tensor

from ..runtime.modes import evaluated
from .model import FSVAE
from .sample import noise_of, padded


@torch.no_grad()
def complete(model: FSVAE, z: Tensor, given: int, draws: int, seed: int = 0) -> Tensor:
    """Keep the first micro-steps of codes and draw the others.

    The latent `Escape` draws a code in T x groups micro-steps, each group of a step after the other; `Hierarchical` so
    its base, and then the details in groups of their own. `model.latent.micro_steps` says how many there are.

    Args:
        model: runs in eval mode; its mode is restored.
        z: codes [T, N, L] in {0, 1}, as `FSVAE.encode` gives them.
        given: micro-steps that are kept, 0..micro_steps; 0 draws all of the code, micro_steps decodes z.
        draws: of each code, >= 1.
        seed: random seed, 0..2^63 - 1. Draw j of code i depends on (seed, i draws + j) alone.

    Returns:
        images [N, draws, C, H, W] in [-1, 1].

    Raises:
        ValueError: z of another shape or with other values, given, draws or seed out of range, or a latent that does
            not draw a code part by part.
    """
    c, steps = model.config, model.latent.micro_steps
    if not steps:
        raise ValueError(
            f"the latent {type(c.latent).__name__} does not complete codes; a model with the latent Escape does"
        )
    if z.dim() != 3 or (z.shape[0], z.shape[2]) != (c.T, c.L) or not ((z == 0) | (z == 1)).all():
        raise ValueError(f"z must be [T={c.T}, N, L={c.L}] of 0 and 1, found {z.dtype} {list(z.shape)}")
    if not 0 <= given <= steps:
        raise ValueError(f"given must be in 0..{steps}, the micro-steps of a code; found {given}")
    if draws < 1:
        raise ValueError(f"draws must be >= 1, found {draws}")
    n = z.shape[1]
    noise = noise_of(model, seed, 0, n * draws)
    with evaluated(model):
        codes = model.latent.complete(z.repeat_interleave(draws, dim=1), given, noise)
        images = model.decode(padded(codes, 1))[: n * draws]
    return images.unflatten(0, (n, draws))
