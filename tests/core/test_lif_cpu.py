"""The CPU kernel against the reference: spikes, membranes and every gradient, in every combination of flags."""

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF, LIFParams, Surrogate, lif
from fsvae_tcja.core.kernels import threads
from fsvae_tcja.core.kernels.lif import reference, register
from fsvae_tcja.core.kernels.lif.layout import contiguous, order

from .conftest import FAMILIES, assert_alive, name

families = pytest.mark.parametrize("params", FAMILIES, ids=name)
some_families = pytest.mark.parametrize("params", FAMILIES[::5], ids=name)  # each surrogate and each flag both ways


def fused(y, scale, shift, gate, weight, v, steps, params):
    return register.lif(y, scale, shift, gate, weight, v, steps, params.constants, params.surrogate.kind)


def run(f, inputs, upstream):
    """Outputs and the gradients of all inputs that there are."""
    leaves = [None if x is None else x.clone().requires_grad_() for x in inputs]
    outputs = f(*leaves)
    return [o.detach() for o in outputs], torch.autograd.grad(outputs, [x for x in leaves if x is not None], upstream)


def agree(inputs, steps, params, upstream=None):
    """The fused op equals the reference: spikes bit for bit, the rest to a few ulps."""
    expected, _ = reference.affine_lif(*inputs, steps, params)
    upstream = upstream or (torch.randn(expected.shape), torch.randn(expected.shape[1:]))
    (s, v), grads = run(lambda *i: fused(*i, steps, params), inputs, upstream)
    (s_ref, v_ref), grads_ref = run(lambda *i: reference.affine_lif(*i, steps, params), inputs, upstream)
    assert_alive((s > 0).float())
    assert torch.equal(s, s_ref)
    torch.testing.assert_close(v, v_ref)
    agree_in(grads, grads_ref)


def agree_in(grads, grads_ref):
    for grad, grad_ref in zip(grads, grads_ref, strict=True):
        assert grad_ref.abs().max() > 0
        torch.testing.assert_close(grad, grad_ref, rtol=1e-4, atol=2e-5)


def exact(steps, static, shape, gated=False, weighted=False):
    """y, scale, shift, gate, weight of an exact current, so that the spikes must be the reference's bit for bit."""
    factors = lambda: 2.0 ** -torch.randint(0, 2, (steps, *shape[:2])).float()  # noqa: E731
    return (
        torch.randint(-64, 65, (1 if static else steps, *shape)) / 32,
        2.0 ** torch.randint(-1, 2, shape[1:2]),
        torch.randint(-4, 5, shape[1:2]) / 8,
        factors() if gated else None,
        factors() if weighted else None,
    )


SEQUENCES = [(1, False, (5, 40)), (16, True, (3, 6, 5, 3)), (65, False, (3, 7, 3, 2))]
sequences = pytest.mark.parametrize(("steps", "static", "shape"), SEQUENCES)


@families
@pytest.mark.parametrize("steps", [1, 2, 16, 65])
@pytest.mark.parametrize("shape", [(129,), (3, 5, 7, 3)])
def test_plain(params, steps, shape, poison):
    agree((torch.randn(steps, *shape), None, None, None, None, torch.randn(shape)), steps, params)


@families
@pytest.mark.parametrize("gated", [False, True])
@sequences
def test_affine(params, gated, steps, static, shape, poison):
    agree((*exact(steps, static, shape, gated), torch.randn(shape)), steps, params)


@some_families
@sequences
def test_weighted_spikes(params, steps, static, shape, poison):
    agree((*exact(steps, static, shape, weighted=True), torch.randn(shape)), steps, params)


def summed(y, scale, shift, gate, weight, steps, params):
    return (register.lif_sum(y, scale, shift, gate, weight, steps, params.constants, params.surrogate.kind),)


@some_families
@pytest.mark.parametrize("gated", [False, True])
@sequences
def test_sum_over_time(params, gated, steps, static, shape, poison):
    inputs, upstream = exact(steps, static, shape, gated, True), torch.randn(shape)
    (total,), grads = run(lambda *i: summed(*i, steps, params), inputs, upstream)
    reference_sum = lambda *i: (reference.affine_lif_sum(*i, steps, params),)  # noqa: E731
    (total_ref,), grads_ref = run(reference_sum, inputs, upstream)
    assert len(total.unique()) > 1
    torch.testing.assert_close(total, total_ref)
    agree_in(grads, grads_ref)


def rated(y, scale, shift, steps, params):
    """The rate and, by way of the y that passes through, the spikes."""
    settings = steps, params.constants, params.surrogate.kind
    y, rate = register.lif_rate(y, scale, shift, *settings)
    return rate, register.lif(y, scale, shift, None, None, None, *settings)[0]


def reference_rated(*inputs):
    *tensors, steps, params = inputs
    spikes, _ = reference.affine_lif(*tensors, None, None, None, steps, params)
    return reference.affine_lif_rate(*inputs), spikes


@some_families
@sequences
def test_rate(params, steps, static, shape, poison):
    inputs, spikes = exact(steps, static, shape)[:3], torch.randn(steps, *shape)
    upstream = torch.randn(steps, *shape[:2]), spikes
    (rate, _), grads = run(lambda *i: rated(*i, steps, params), inputs, upstream)
    (rate_ref, _), grads_ref = run(lambda *i: reference_rated(*i, steps, params), inputs, upstream)
    assert 0 < rate.mean() < 1
    torch.testing.assert_close(rate, rate_ref)
    agree_in(grads, grads_ref)


def test_large_enough_for_several_tiles_and_threads(monkeypatch):
    monkeypatch.setattr(threads, "GRAIN", 1000)
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        y = torch.randint(-64, 65, (3, 5, 48, 11, 9)) / 32
        scale, shift, factor = torch.ones(48) / 2, torch.zeros(48), torch.ones(3, 5, 48) / 2
        agree((y, None, None, None, None, None), 3, FSVAE_LIF)
        agree((y, scale, shift, factor, None, None), 3, FSVAE_LIF)
        agree((y, scale, shift, None, factor, None), 3, FSVAE_LIF)
        wide = torch.randint(-64, 65, (3, 5, 5000)) / 32
        agree((wide, torch.ones(5000), torch.zeros(5000), None, None, None), 3, FSVAE_LIF)
        settings = 3, FSVAE_LIF
        torch.testing.assert_close(
            rated(y, scale, shift, *settings), reference_rated(y, scale, shift, *settings), rtol=1e-6, atol=0
        )
    finally:
        torch.set_num_threads(torch_threads)


@pytest.mark.parametrize("affine", [False, True])
def test_any_strides(affine):
    """Permuted and sliced inputs, channels-last or not, and upstream gradients that are expanded or permuted."""
    scale, shift = (torch.ones(4) / 2, torch.zeros(4)) if affine else (None, None)
    whole = torch.randint(-64, 65, (6, 3, 4, 5, 7)) / 32
    last = torch.randn(3, 4, 5, 7)
    expanded = torch.randn(3, 4, 5, 7).expand(6, -1, -1, -1, -1)
    permuted = torch.randn(7, 5, 4, 3, 6).permute(4, 3, 2, 1, 0)
    for y in (whole, whole.transpose(3, 4).contiguous().transpose(3, 4), whole.flip(0)[:, :, :, ::1]):
        for grad in (expanded, permuted):
            agree((y, scale, shift, None, None, None), 6, FSVAE_LIF, (grad, last))
    channels_last = whole.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    agree((channels_last, scale, shift, None, None, None), 6, FSVAE_LIF)
    assert fused(channels_last, scale, shift, None, None, None, 6, FSVAE_LIF)[0].stride() == channels_last.stride()
    agree((whole[::2, :, :, 1:], scale, shift, None, None, None), 3, FSVAE_LIF)
    if not affine:
        agree((whole[:1].expand(6, -1, -1, -1, -1), None, None, None, None, None), 6, FSVAE_LIF)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("factor", [None, "gate", "weight"])
def test_half_storage_float32_state(dtype, factor):
    """A half input gives what its float32 copy gives; spikes and gradients are rounded once, on being stored."""
    y = torch.randn(16, 3, 8, 5, 5).to(dtype)
    scale, shift = (torch.rand(8) + 0.5, torch.randn(8) / 4) if factor else (None, None)
    gate, weight = (torch.rand(16, 3, 8) if factor == name else None for name in ("gate", "weight"))
    grad, last = torch.randn(y.shape).to(dtype), torch.randn(y.shape[1:])
    narrow, wide = (y, scale, shift, gate, weight, None), (y.float(), scale, shift, gate, weight, None)
    (s, v), (dy, *rest) = run(lambda *i: fused(*i, 16, FSVAE_LIF), narrow, (grad, last))
    (s32, v32), (dy32, *rest32) = run(lambda *i: fused(*i, 16, FSVAE_LIF), wide, (grad.float(), last))
    assert_alive((s > 0).float())
    assert s.dtype == dtype and v.dtype == torch.float32
    assert torch.equal(s, s32.to(dtype)) and torch.equal(v, v32)
    assert torch.equal(dy, dy32.to(dtype))
    assert all(torch.equal(a, b) for a, b in zip(rest, rest32, strict=True))


def test_half_rounding_of_special_values():
    """The conversions that the kernels do themselves are PyTorch's: ties to even, overflow, subnormals, NaN."""
    odd = torch.tensor([0.0, -0.0, 1.00390625, 1.01171875, 3.4e38, -1e30, 1e-40, 6e-8, 2049.0, torch.nan])
    soft = LIFParams(1.0, 1.0, 1e38, hard_reset=False, surrogate=Surrogate("rectangle", 1e-6, centre=9.0))
    for dtype in (torch.bfloat16, torch.float16):
        x = torch.zeros(1, len(odd), dtype=dtype, requires_grad=True)
        _, v = lif(x, params=soft, backend="cpu")
        v.backward(odd)
        torch.testing.assert_close(x.grad[0], odd.to(dtype), rtol=0, atol=0, equal_nan=True)


def test_flips_are_rare_for_other_decays():
    """A decay that is no power of two: at most one spike in 10^5 may differ."""
    x = torch.randn(16, 50000)
    params = LIFParams(0.3, 0.7, 0.4)
    a, b = (lif(x, params=params, backend=name)[0] for name in ("reference", "cpu"))
    assert_alive(a)
    assert (a != b).sum() <= x.numel() * 1e-5


def test_no_grad_saves_nothing_and_grad_only_the_input():
    y = torch.randn(16, 40)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        lif(y, backend="cpu")
        assert not saved
        lif(y.requires_grad_(), backend="cpu")
    assert {t.data_ptr() for t in saved} == {y.data_ptr()}


SETTINGS = 3, FSVAE_LIF.constants, "rectangle"


@pytest.mark.parametrize("affine", [False, True])
def test_opcheck(affine):
    y, v = torch.randn(3, 2, 4, 5, 5, requires_grad=True), torch.randn(2, 4, 5, 5, requires_grad=True)
    shapes = (4,), (4,), (3, 2, 4), (3, 2, 4)
    more = [torch.rand(shape, requires_grad=True) if affine else None for shape in shapes]
    torch.library.opcheck(register.lif, (y, *more, v, *SETTINGS))
    if affine:
        torch.library.opcheck(register.lif_sum, (y, *more, *SETTINGS))


def test_opcheck_of_the_rate():
    y, scale, shift = torch.randn(3, 2, 4, 5, 5), torch.rand(4), torch.rand(4)
    torch.library.opcheck(register.lif_rate_forward, (y, scale, shift, *SETTINGS))
    dy = contiguous(torch.randn_like(y), order(y, True))
    torch.library.opcheck(register.lif_rate_backward, (dy, torch.randn(3, 2, 4), y, scale, shift, *SETTINGS))


def test_compiles_to_one_graph():
    x = torch.randn(4, 30)
    compiled = torch.compile(lambda x: lif(2 * x, params=FSVAE_LIF), fullgraph=True, backend="aot_eager")
    eager_x, compiled_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    (a, _), (b, _) = lif(2 * eager_x), compiled(compiled_x)
    assert_alive(a)
    assert torch.equal(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    assert torch.equal(eager_x.grad, compiled_x.grad)
