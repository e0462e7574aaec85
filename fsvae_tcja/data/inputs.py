"""What a batch becomes for a network."""

import torch
from einops import rearrange
from torch import Tensor

from .pixels import to_float


def to_input(x: Tensor) -> Tensor:
    """Images uint8 [B, C, H, W] -> float in [-1, 1]; counts of events int16 [B, T, 2, H, W] -> float counts."""
    return to_float(x) if x.dtype == torch.uint8 else x.float()


def time_first(x: Tensor) -> Tensor:
    """Frames [B, T, C, H, W] -> [T, B, C, H, W]; images [B, C, H, W] stay."""
    return rearrange(x, "b t c h w -> t b c h w") if x.dim() == 5 else x
