"""Compares the Triton kernels with the reference, in Triton's interpreter. Run by test_triton.py as a program of its
own, since TRITON_INTERPRET must be set before Triton is imported."""

from itertools import product

import torch
from fsvae_tcja.core.kernels.lif.layout import contiguous, order
from fsvae_tcja.core.kernels.moments.layout import channels_last

from fsvae_tcja.core import FSVAE_LIF, LIFParams
from fsvae_tcja.core.kernels.lif import reference, triton
from fsvae_tcja.core.kernels.moments import reference as moments_reference
from fsvae_tcja.core.kernels.moments import triton as moments_triton

from .conftest import FAMILIES

close = torch.testing.assert_close


def compare_lif(
    params: LIFParams,
    steps: int,
    shape: tuple[int, ...],
    static=False,
    affine=False,
    gated=False,
    weighted=False,
    dtype=torch.float32,
) -> None:
    """Spikes bit for bit, membrane and gradients to a few ulps; the same of the spikes summed and their rate."""
    inputs = draw(steps, shape, static, affine, gated, weighted, dtype)
    upstream = torch.randn(steps, *shape).to(dtype), torch.randn(shape)
    settings = steps, params.constants
    expected, expected_grads = differentiate(reference.affine_lif, inputs, upstream, steps, params)
    spikes, v = triton.forward(*inputs, *settings)
    assert len(spikes.unique()) > 1
    assert spikes.dtype == dtype and torch.equal(spikes.float(), expected[0].to(dtype).float())
    close(v, expected[1])
    agree(triton.backward(*upstream, *inputs, *settings, params.surrogate.kind), expected_grads, inputs, dtype)
    if weighted:
        inputs = *inputs[:-1], None  # from rest
        expected, expected_grads = differentiate(lif_sum, inputs, upstream[1:], steps, params)
        close(triton.total(*inputs[:-1], *settings), expected[0])
        grads = triton.backward(upstream[1].expand(steps, *shape), None, *inputs, *settings, params.surrogate.kind)
        agree(grads, expected_grads, inputs, dtype)
        compare_rate(inputs[:3], steps, params)


def draw(steps, shape, static, affine, gated, weighted, dtype) -> tuple[torch.Tensor | None, ...]:
    """y, scale, shift, gate, weight, v; the current is exact, so that the spikes must be equal."""
    channels = shape[1] if affine else 0
    factors = lambda: 2.0 ** -torch.randint(0, 2, (steps, shape[0], channels)).float()  # noqa: E731
    return (
        (torch.randint(-64, 65, (1 if static else steps, *shape)) / 32).to(dtype),
        2.0 ** torch.randint(-1, 2, (channels,)) if affine else None,
        torch.randint(-4, 5, (channels,)) / 8 if affine else None,
        factors() if gated else None,
        factors() if weighted else None,
        torch.randn(shape),
    )


def differentiate(function, inputs, upstream, steps, params):
    """Outputs of the reference and the gradients of all inputs that there are."""
    leaves = [None if x is None else x.clone().requires_grad_() for x in inputs]
    outputs = function(*leaves, steps, params)
    upstream = [u.to(o.dtype) for u, o in zip(upstream, outputs, strict=True)]
    return outputs, torch.autograd.grad(outputs, [x for x in leaves if x is not None], upstream)


def lif_sum(y, scale, shift, gate, weight, v, steps, params):
    return (reference.affine_lif_sum(y, scale, shift, gate, weight, steps, params),)


def agree(grads, expected, inputs, dtype) -> None:
    tolerance = {"rtol": 1e-4, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 2e-3}
    present = [g for g, x in zip(grads, inputs, strict=True) if x is not None]
    for grad, grad_ref in zip(present, expected, strict=True):
        close(grad, grad_ref, **tolerance)


def compare_rate(inputs, steps: int, params: LIFParams) -> None:
    """The rate, and its gradient on top of one that is already there."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    expected = reference.affine_lif_rate(*leaves, steps, params)
    close(triton.rate(*inputs, steps, params.constants), expected)
    d_rate, there = torch.randn(expected.shape), torch.randn(inputs[0].shape).to(inputs[0].dtype)
    dy, dscale, dshift = torch.autograd.grad(expected, leaves, d_rate)
    total = contiguous(there.clone(), order(there, True))
    weight = d_rate / inputs[0][0, 0, 0].numel()
    _, *sums = triton.backward(
        None, None, *inputs, None, weight, None, steps, params.constants, params.surrogate.kind, total
    )
    agree((total, *sums[:2]), ((dy + there).to(there.dtype), dscale, dshift), inputs, there.dtype)


def compare_moments(shape: tuple[int, ...]) -> None:
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


def main() -> None:
    torch.manual_seed(0)
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True)  # uninitialised memory holds NaN
    for params in FAMILIES:
        compare_lif(params, 2, (3, 5, 3, 2), affine=True, gated=True, weighted=True)
    for steps in (1, 16, 65):
        compare_lif(FSVAE_LIF, steps, (7, 47))
    for static, gated, weighted in product((False, True), repeat=3):
        compare_lif(FSVAE_LIF, 18, (2, 33, 3, 3), static, True, gated, weighted)
    compare_lif(FSVAE_LIF, 3, (2, 300), affine=True)
    for dtype in (torch.bfloat16, torch.float16):
        compare_lif(FSVAE_LIF, 3, (2, 5, 3, 3), affine=True, gated=True, weighted=True, dtype=dtype)
    for shape in ((5, 3, 2, 2), (2, 70, 8, 20), (3, 6)):
        compare_moments(shape)
    print("every Triton kernel agrees")


if __name__ == "__main__":
    main()
