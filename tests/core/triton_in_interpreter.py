"""The Triton kernels in Triton's interpreter against the reference. test_triton.py runs this file in a process of its
own, since TRITON_INTERPRET must be set before Triton is imported."""

from itertools import product

import pytest
import torch

from fsvae_tcja.core import CENTRED_LIF, FSVAE_LIF, LIFParams
from fsvae_tcja.core.kernels.common.layout import channels_last, contiguous, order
from fsvae_tcja.core.kernels.escape import triton as escape_triton
from fsvae_tcja.core.kernels.lif import reference, triton
from fsvae_tcja.core.kernels.lif.inputs import Inputs
from fsvae_tcja.core.kernels.moments import reference as moments_reference
from fsvae_tcja.core.kernels.moments import triton as moments_triton
from fsvae_tcja.core.kernels.norm import reference as norm_reference
from fsvae_tcja.core.kernels.norm import triton as norm_triton
from fsvae_tcja.core.kernels.philox import reference as philox_reference
from fsvae_tcja.core.kernels.philox import triton as philox_triton
from tests.conftest import long

from .conftest import FAMILIES, name
from .test_escape import SIZES, escape_by_reference, network

close = torch.testing.assert_close
SOME = FAMILIES[::5]  # each surrogate and each flag both ways
families = pytest.mark.parametrize(
    "params", [params if params in SOME else pytest.param(params, marks=long) for params in FAMILIES], ids=name
)


@pytest.fixture(autouse=True)
def poisoned(poison) -> None:
    """Uninitialised memory holds NaN in all of these tests."""


def draw(steps, shape, static=False, affine=False, current=False, spikes=False, dtype=torch.float32) -> Inputs:
    """An exact current, so that the spikes must be equal; which gates."""
    channels = shape[1] if affine else 0
    gates = lambda: 2.0 ** -torch.randint(0, 2, (steps, shape[0], channels)).float()  # noqa: E731
    return Inputs(
        (torch.randint(-64, 65, (1 if static else steps, *shape)) / 32).to(dtype),
        2.0 ** torch.randint(-1, 2, (channels,)) if affine else None,
        torch.randint(-4, 5, (channels,)) / 8 if affine else None,
        gates() if current else None,
        gates() if spikes else None,
        torch.randn(shape),
    )


def differentiate(function, inputs: Inputs, upstream, steps: int, params: LIFParams):
    """Outputs of the reference and the gradients of all inputs that there are, by name."""
    leaves = {key: x.clone().requires_grad_() for key, x in inputs._asdict().items() if x is not None}
    outputs = function(Inputs(**leaves), steps, params)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    upstream = [u.to(o.dtype) for u, o in zip(upstream, outputs, strict=True)]
    grads = torch.autograd.grad(outputs, list(leaves.values()), upstream)
    return outputs, dict(zip(leaves, grads, strict=True))


def agree(found, expected, dtype) -> None:
    """Gradients, to a few ulps of what they are stored in."""
    tolerance = {"rtol": 1e-4, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 2e-3}
    for key, grad in expected.items():
        close(getattr(found, key), grad, **tolerance, msg=lambda m, key=key: f"d{key}: {m}")


def compare_fire(params: LIFParams, steps: int, inputs: Inputs) -> None:
    """Spikes bit for bit, membrane and gradients to a few ulps."""
    dtype, shape = inputs.y.dtype, inputs.y.shape[1:]
    upstream = torch.randn(steps, *shape).to(dtype), torch.randn(shape)
    constants, surrogate = params.fused_constants
    (expected, v_ref), grads = differentiate(reference.fire, inputs, upstream, steps, params)
    spikes, v = triton.fire(inputs, steps, constants)
    assert len(spikes.unique()) > 1
    assert spikes.dtype == dtype and torch.equal(spikes.float(), expected.to(dtype).float())
    close(v, v_ref)
    agree(triton.backward(*upstream, inputs, steps, constants, surrogate), grads, dtype)


def compare_sum(params: LIFParams, steps: int, inputs: Inputs) -> None:
    """The gated spikes summed over time, from rest."""
    inputs, shape = inputs._replace(v=None), inputs.y.shape[1:]
    upstream = torch.randn(shape)
    constants, surrogate = params.fused_constants
    (expected,), grads = differentiate(reference.spike_sum, inputs, [upstream], steps, params)
    close(triton.spike_sum(inputs, steps, constants), expected)
    found = triton.backward(upstream.expand(steps, *shape), None, inputs, steps, constants, surrogate)
    agree(found, grads, inputs.y.dtype)


def compare_rate(params: LIFParams, steps: int, inputs: Inputs) -> None:
    """The rate, and its gradient on top of one that is already there."""
    inputs = Inputs(*inputs[:3])
    constants, surrogate = params.fused_constants
    y, d_rate = inputs.y, torch.randn(steps, *inputs.y.shape[1:3])
    (expected,), grads = differentiate(reference.spike_rate, inputs, [d_rate], steps, params)
    close(triton.spike_rate(inputs, steps, constants), expected)
    there = torch.randn(y.shape).to(y.dtype)
    total = contiguous(there.clone(), order(there, True))
    gated = inputs._replace(spike_gate=d_rate / y[0, 0, 0].numel())
    found = triton.backward(None, None, gated, steps, constants, surrogate, total)
    agree(found, grads | {"y": (grads["y"] + there).to(y.dtype)}, y.dtype)


@families
@pytest.mark.parametrize("compare", [compare_fire, compare_sum, compare_rate])
def test_every_family(params, compare):
    compare(params, 2, draw(2, (3, 5, 3, 2), affine=True, current=True, spikes=True))


@pytest.mark.parametrize("steps", [1, 16, 65])
def test_plain(steps):
    compare_fire(FSVAE_LIF, steps, draw(steps, (7, 47)))


USUAL = [(True, True, True), (False, False, False), (False, True, True)]
OTHERS = [pytest.param(*flags, marks=long) for flags in product((False, True), repeat=3) if flags not in USUAL]


@pytest.mark.parametrize(("static", "current", "spikes"), USUAL + OTHERS)
def test_gates_and_static_input(static, current, spikes):
    inputs = draw(18, (2, 33, 3, 3), static, True, current, spikes)
    compare_fire(FSVAE_LIF, 18, inputs)
    if spikes:
        compare_sum(FSVAE_LIF, 18, inputs)


@pytest.mark.parametrize("static", [False, True])
def test_rate(static):
    compare_rate(FSVAE_LIF, 18, draw(18, (2, 33, 3, 3), static, affine=True))


def test_many_channels_without_space():
    compare_fire(FSVAE_LIF, 3, draw(3, (2, 300), affine=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compare", [compare_fire, compare_sum, compare_rate])
def test_halves(dtype, compare):
    compare(FSVAE_LIF, 3, draw(3, (2, 5, 3, 3), False, True, True, True, dtype))


@pytest.mark.parametrize("shape", [(5, 3, 2, 2), (2, 70, 8, 20), (3, 6), pytest.param((2100, 2, 1, 1), marks=long)])
def test_moments(shape):
    y = (torch.randn(shape) + 30).requires_grad_()
    expected = moments_reference.moments(y)
    found = moments_triton.forward(y.detach())
    for a, b in zip(found, expected, strict=True):
        close(a, b, rtol=1e-5, atol=1e-5)
    direct, upstream = torch.randn(shape), [torch.randn_like(x) for x in expected]
    (grad,) = torch.autograd.grad(expected, y, upstream)
    total = channels_last(direct.clone())
    moments_triton.backward(total, *upstream, y.detach(), found[1])
    close(total, grad + direct, rtol=1e-5, atol=1e-5)


def test_moments_without_a_gradient_of_the_means_over_space():
    y = torch.randn(5, 3, 2, 2)
    grads = []
    for d_space in (None, torch.zeros(5, 3)):
        grad = channels_last(torch.ones(y.shape))
        moments_triton.backward(grad, d_space, torch.ones(3), torch.ones(3), y, y.mean((0, 2, 3)))
        grads.append(grad)
    assert torch.equal(*grads)


@pytest.mark.parametrize("channels", [3, 300])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("where", [None, True, False])
def test_tables_of_a_norm(channels, momentum, where):
    weight, bias, mean, dscale, dshift = torch.randn(5, channels)
    var = torch.rand(channels)
    tables = norm_reference.affine(weight, bias, mean, var, 0.4, 1e-5)
    for a, b in zip(norm_triton.affine(weight, bias, mean, var, 0.4, 1e-5), tables, strict=True):
        close(a, b)
    expected = norm_reference.gradients(dscale, dshift, mean, tables, 0.4)
    for a, b in zip(norm_triton.gradients(dscale, dshift, mean, tables, 0.4), expected, strict=True):
        close(a, b, rtol=1e-5, atol=1e-6)
    running = [[torch.zeros(channels), torch.ones(channels), torch.tensor(0)] for _ in range(2)]
    flag = None if where is None else torch.tensor(where)
    for tracks, buffers in zip((norm_reference.track, norm_triton.track), running, strict=True):
        tracks(*buffers, mean, var, 40, momentum)
        tracks(*buffers, mean.sin(), var.sin(), 40, momentum, flag)
    for a, b in zip(*running, strict=True):
        close(a, b)
    assert running[1][2] == (1 if where is False else 2)


@pytest.mark.parametrize(
    ("seed", "first", "length", "block"), [(7, 3, 6, 0), (2**40 + 5, 2**33, 13, 2), (0, 0, 1100, 1)]
)
def test_philox(seed, first, length, block):
    expected = philox_reference.words(seed, first, 3, length, block)
    assert torch.equal(philox_triton.words(seed, first, 3, length, block, torch.device("cpu")), expected)


FEW = [(min(N, 3), *others) for N, *others in SIZES]  # every image has a program of its own


@pytest.mark.parametrize("sizes", [*FEW, (2, 3, 40, 150)])
@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_draw(sizes, guidance):
    inputs = network(*sizes, K=2 if guidance else 1, exact=True)
    found = escape_triton.draw(inputs, guidance, CENTRED_LIF.fused_constants.constants)
    assert all(
        torch.equal(*pair) for pair in zip(found, escape_by_reference(inputs, CENTRED_LIF, guidance), strict=True)
    )


@families
def test_draw_of_every_family(params):
    inputs = network(2, 4, 3, 24, exact=True)
    found = escape_triton.draw(inputs, 0.0, params.fused_constants.constants)
    assert all(torch.equal(*pair) for pair in zip(found, escape_by_reference(inputs, params, 0.0), strict=True))
