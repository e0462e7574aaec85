"""Images on the way from one code to another."""

import torch
from torch import Tensor

from ..runtime.modes import evaluated
from .model import FSVAE


@torch.no_grad()
def interpolate(model: FSVAE, a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Decode (1 - w) a + w b for weights w from 0 to 1, evenly spaced.

    Between its ends a code is graded: the first linear layer of the decoder takes it as a current, all behind it are
    spikes.

    Args:
        model: runs in eval mode; its mode is restored.
        a, b: codes [T, N, L], of images (`FSVAE.encode`) or drawn ones (`draw_codes`).
        steps: images on the way, the ends included, >= 2.

    Returns:
        images [N, steps, C, H, W] in [-1, 1].

    Raises:
        ValueError: codes of different shapes or types, not floating point or of another model, or fewer than two steps.
    """
    if a.shape != b.shape:
        raise ValueError(f"both codes must be of one shape, found {list(a.shape)} and {list(b.shape)}")
    if a.dtype != b.dtype or not a.is_floating_point():
        raise ValueError(f"both codes must be of one floating point type, found {a.dtype} and {b.dtype}; convert them")
    if steps < 2:
        raise ValueError(f"steps must be >= 2, both ends included, found {steps}")
    weights = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device).view(-1, 1, 1, 1)
    path = torch.lerp(a, b, weights)  # [steps, T, N, L]
    with evaluated(model):
        images = model.decode(path.permute(1, 2, 0, 3).flatten(1, 2))  # codes [T, N steps, L]
    return images.unflatten(0, (a.shape[1], steps))
