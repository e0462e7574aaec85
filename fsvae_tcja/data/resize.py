"""Bringing images in memory to one size."""

import math

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ..utils.memory import check_fits


def resized(images: np.ndarray, size: int | None, method: Image.Resampling = Image.Resampling.BILINEAR) -> Tensor:
    """uint8 [N, H, W] or [N, H, W, 3] -> uint8 [N, C, size, size], each image by PIL; None: as they are.

    Grey images have the strides of channels last (with one channel they are contiguous too): convolutions take their
    layout from that, and with it the order of their sums.
    """
    if size is not None:
        needed = 2 * len(images) * size**2 * math.prod(images.shape[3:])  # two copies
        check_fits(needed, f"{len(images):,} images of {size:,} x {size:,} pixels", "take a smaller size")
        images = np.stack([np.asarray(Image.fromarray(image).resize((size, size), method)) for image in images])
    pixels = torch.from_numpy(np.array(images, order="C"))
    pixels = pixels.unsqueeze(3) if pixels.dim() == 3 else pixels
    return rearrange(pixels, "n h w c -> n c h w").contiguous()
