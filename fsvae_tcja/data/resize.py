"""Bringing images in memory to one size."""

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor


def resized(images: np.ndarray, size: int | None, method: Image.Resampling = Image.Resampling.BILINEAR) -> Tensor:
    """uint8 [N, H, W] or [N, H, W, 3] -> uint8 [N, C, size, size], each image by PIL; None: as they are."""
    if size is not None:
        images = np.stack([np.asarray(Image.fromarray(image).resize((size, size), method)) for image in images])
    pattern = "n h w -> n 1 h w" if images.ndim == 3 else "n h w c -> n c h w"
    return torch.from_numpy(np.array(rearrange(images, pattern), order="C"))
