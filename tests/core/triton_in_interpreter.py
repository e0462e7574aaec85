"""Compares the Triton kernels with the reference, in Triton's interpreter. Run by test_triton.py as a program of its
own, since TRITON_INTERPRET must be set before Triton is imported."""

from itertools import product

import torch

from fsvae_tcja.core import FSVAE_LIF, LIFParams
from fsvae_tcja.core.kernels.lif import reference, triton
from fsvae_tcja.core.kernels.moments import reference as moments_reference
from fsvae_tcja.core.kernels.moments import triton as moments_triton
from fsvae_tcja.core.kernels.moments.layout import channels_last

from .conftest import FAMILIES

close = torch.testing.assert_close


def compare_lif(
    params: LIFParams, steps: int, shape: tuple[int, ...], static=False, affine=False, gated=False, dtype=torch.float32
) -> None:
    """Spikes bit for bit, membrane and gradients to a few ulps."""
    channels = shape[1] if affine else 0
    inputs = [
        (torch.randint(-64, 65, (1 if static else steps, *shape)) / 32).to(dtype),
        2.0 ** torch.randint(-1, 2, (channels,)) if affine else None,
        torch.randint(-4, 5, (channels,)) / 8 if affine else None,
        2.0 ** -torch.randint(0, 2, (steps, shape[0], channels)).float() if gated else None,
        torch.randn(shape),
    ]
    leaves = [None if x is None else x.clone().requires_grad_() for x in inputs]
    expected = reference.affine_lif(*leaves, steps, params)
    upstream = torch.randn(steps, *shape).to(dtype), torch.randn(shape)
    present = [x for x in leaves if x is not None]
    expected_grads = torch.autograd.grad(
        expected, present, [u.to(o.dtype) for u, o in zip(upstream, expected, strict=True)]
    )
    constants = steps, params.constants, params.surrogate.kind
    spikes, v = triton.forward(*inputs, *constants)
    grads = triton.backward(*upstream, *inputs, *constants)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert spikes.dtype == dtype and torch.equal(spikes.float(), expected[0].float())
    close(v, expected[1])
    tolerance = {"rtol": 1e-4, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 1e-3}
    for grad, grad_ref in zip(
        [g for g, x in zip(grads, inputs, strict=True) if x is not None], expected_grads, strict=True
    ):
        close(grad, grad_ref, **tolerance)


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
        compare_lif(params, 2, (3, 5, 3, 2), affine=True, gated=True)
    for steps in (1, 16, 65):
        compare_lif(FSVAE_LIF, steps, (7, 47))
    for static, gated in product((False, True), repeat=2):
        compare_lif(FSVAE_LIF, 18, (2, 33, 3, 3), static, True, gated)
    compare_lif(FSVAE_LIF, 3, (2, 300), affine=True)
    for dtype in (torch.bfloat16, torch.float16):
        compare_lif(FSVAE_LIF, 3, (2, 5, 3, 3), affine=True, gated=True, dtype=dtype)
    for shape in ((5, 3, 2, 2), (2, 70, 8, 20), (3, 6)):
        compare_moments(shape)
    print("every Triton kernel agrees")


if __name__ == "__main__":
    main()
