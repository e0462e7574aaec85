"""The moments against the reference, also where a float32 sum of squares would fail."""

import pytest
import torch

from fsvae_tcja.core.kernels.common.layout import channels_last
from fsvae_tcja.core.kernels.moments import reference, register

SHAPES = [(5, 3, 2, 2), (7, 32, 8, 8), (4, 5, 3, 7), (9, 6), (3, 4, 50, 60), (1, 2500, 2, 2), (4, 12, 33)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_values(shape, channels_last, poison):
    y = torch.randn(shape) * 2 + 30
    if channels_last and y.dim() == 4:
        y = y.contiguous(memory_format=torch.channels_last)
    for a, b in zip(register.moments_forward(y), reference.moments(y), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_large_mean_does_not_cancel():
    y = torch.randn(8, 3, 40, 40) + 3000
    _, mean, var = register.moments_forward(y)
    torch.testing.assert_close(mean, y.double().mean((0, 2, 3)).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(var, y.double().var((0, 2, 3), correction=0).float(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_storage(dtype):
    y = torch.randn(4, 8, 5, 5).to(dtype)
    for narrow, wide in zip(register.moments_forward(y), register.moments_forward(y.float()), strict=True):
        assert torch.equal(narrow, wide)


def test_opcheck():
    y, c = torch.randn(4, 3, 2, 2), torch.randn(3)
    torch.library.opcheck(register.moments_forward_op, (y,))
    grad = channels_last(y.sin())
    torch.library.opcheck(register.moments_backward_op, (grad, torch.randn(4, 3), c, c.sin(), y, c.cos()))
