"""Calls past the dispatcher give what the op gives, to the bit, and leave to it what they cannot decide."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fsvae_tcja.core import CENTRED_LIF
from fsvae_tcja.core.kernels.lif import register

SETTINGS = (3, *CENTRED_LIF.fused_constants)


def inputs() -> list[torch.Tensor]:
    y = torch.randn(3, 2, 5, 4, 4)
    return [x.requires_grad_() for x in (y, torch.rand(5) + 0.5, 0.1 * torch.randn(5))]


def test_the_op_itself():
    given = inputs()
    (spikes, last), (spikes_op, last_op) = (
        f(*given, None, None, None, *SETTINGS) for f in (register.fire, register.fire_op)
    )
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, spikes_op) and torch.equal(last, last_op)
    upstream = [torch.randn_like(spikes), torch.randn_like(last)]
    grads, grads_op = (torch.autograd.grad(out, given, upstream) for out in ([spikes, last], [spikes_op, last_op]))
    for name, a, b in zip(("y", "scale", "shift"), grads, grads_op, strict=True):
        assert a.any() and torch.equal(a, b), name


def test_a_second_derivative_is_refused():
    y, scale, shift = inputs()
    spikes, _ = register.fire(y, scale, shift, None, None, None, *SETTINGS)
    (dy,) = torch.autograd.grad(spikes.square().sum(), y, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dy.sum().backward()


def test_a_fake_tensor_goes_to_the_op():
    with FakeTensorMode():
        y = torch.empty(3, 2, 5, 4, 4)
        spikes, last = register.fire(y, torch.empty(5), torch.empty(5), None, None, None, *SETTINGS)
    assert spikes.shape == (3, 2, 5, 4, 4) and last.shape == (2, 5, 4, 4)
