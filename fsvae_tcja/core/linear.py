"""A linear layer that is as fast as a convolution."""

import torch.nn.functional as F
from torch import Tensor, nn

IMAGES = 16  # PyTorch hands a convolution of fewer images to another library


class Linear(nn.Linear):
    """nn.Linear, on the CPU as a 1x1 convolution of made-up images.

    Convolutions run in oneDNN, float32 matrix products in MKL, which reaches half its rate on an AMD processor. In
    training mode only: the two differ by an ulp, and what a trained model gives must not depend on the batch size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x [N, features] -> [N, C]."""
        if not self.training or x.device.type != "cpu" or x.dim() != 2 or len(x) == 0 or len(x) % IMAGES:
            return super().forward(x)
        rows = len(x)
        images = x.view(IMAGES, rows // IMAGES, 1, -1).permute(0, 3, 1, 2)  # [16, features, N/16, 1], channels-last
        y = F.conv2d(images, self.weight[:, :, None, None], self.bias)
        return y.permute(0, 2, 3, 1).reshape(rows, -1)
