"""The norm by the batch's own statistics: values and every gradient against autograd through the reference moments."""

import pytest
import torch

from fsvae_tcja.core import TDBatchNorm
from fsvae_tcja.core.kernels.moments import reference
from fsvae_tcja.core.statistics import by_own_statistics

from .test_moments import SHAPES

GRADIENTS = ("y", "weight", "bias")


def norm_of(channels: int) -> TDBatchNorm:
    norm = TDBatchNorm(channels, v_th=0.2, alpha=2.0)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    return norm


def expected_of(y: torch.Tensor, norm: TDBatchNorm) -> tuple[torch.Tensor, ...]:
    space, mean, var = reference.moments(y)
    return y, space, mean, var, *norm.affine(mean, var)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_values_and_gradients(shape, channels_last, poison):
    y = torch.randn(shape) * 2 + 3
    if channels_last and y.dim() == 4:
        y = y.contiguous(memory_format=torch.channels_last)
    y.requires_grad_()
    norm = norm_of(shape[1])
    expected, found = expected_of(y, norm), by_own_statistics(y, norm)
    assert torch.equal(found.y, y)
    for name, a, b in zip(found._fields, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    used = [0, 1, 4, 5]  # mean and variance go into the running statistics, without gradient
    upstream = [torch.randn_like(expected[i]) for i in used]
    inputs = (y, norm.weight, norm.bias)
    wanted = torch.autograd.grad([expected[i] for i in used], inputs, upstream)
    grads = torch.autograd.grad([found[i] for i in used], inputs, [g.clone() for g in upstream])  # written into
    for name, a, b in zip(GRADIENTS, grads, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_mean_and_variance_have_no_gradient():
    found = by_own_statistics(torch.randn(4, 3, 2, 2, requires_grad=True), norm_of(3))
    assert not found.mean.requires_grad and not found.var.requires_grad
    assert found.y.requires_grad and found.space.requires_grad and found.scale.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_storage(dtype):
    y, norm = torch.randn(4, 8, 5, 5).to(dtype).requires_grad_(), norm_of(8)
    wide = y.detach().float().requires_grad_()
    narrow_out, wide_out = by_own_statistics(y, norm), by_own_statistics(wide, norm)
    assert all(torch.equal(a, b) for a, b in zip(narrow_out[1:], wide_out[1:], strict=True))
    sum(o.float().square().sum() for o in narrow_out if o.requires_grad).backward()
    sum(o.square().sum() for o in wide_out if o.requires_grad).backward()
    torch.testing.assert_close(y.grad, wide.grad.to(dtype), rtol=2**-7, atol=1e-2)
