"""The convolution or linear layer in front of a tdBN."""

import torch
from torch import Tensor, nn


def transform(module: nn.Module, x: Tensor) -> Tensor:
    """x [T, N, ...] -> module(x) [T, N, C, ...], without the gradient of the bias.

    The norm behind it sums the same gradient anyway, so `TDBatchNorm.affine` gives it for nothing; over a
    channels-last output PyTorch takes longer for it than for the rest of the convolution.
    """
    folded = x.flatten(0, 1)
    if module.bias is None or not torch.is_grad_enabled():
        return module(folded).unflatten(0, x.shape[:2])
    return torch.func.functional_call(module, {"bias": module.bias.detach()}, folded).unflatten(0, x.shape[:2])
