"""The CPU kernel against the reference: spikes, membranes and every gradient, in every combination of flags."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF, TCJA_LIF, LIFParams, Surrogate, lif
from fsvae_tcja.core.kernels.common import threads
from fsvae_tcja.core.kernels.common.layout import contiguous, order
from fsvae_tcja.core.kernels.lif import reference, register
from fsvae_tcja.core.kernels.lif.inputs import Inputs

from .conftest import FAMILIES, assert_alive, name

families = pytest.mark.parametrize("params", FAMILIES, ids=name)
some_families = pytest.mark.parametrize("params", FAMILIES[::5], ids=name)  # each surrogate and each flag both ways


def fused(*inputs, steps, params):
    return register.fire(*inputs, steps, *params.fused_constants)


def specified(*inputs, steps, params):
    return reference.fire(Inputs(*inputs), steps, params)


def run(f, inputs, upstream):
    """Outputs and the gradients of all inputs that there are, by name."""
    leaves = {name: x.clone().requires_grad_() for name, x in inputs._asdict().items() if x is not None}
    outputs = f(*(leaves.get(name) for name in inputs._fields))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    grads = torch.autograd.grad(outputs, list(leaves.values()), upstream)
    return [o.detach() for o in outputs], dict(zip(leaves, grads, strict=True))


def agree(inputs, steps, params, upstream=None):
    """The fused op equals the reference: spikes bit for bit, the rest to a few ulps."""
    expected, _ = reference.fire(inputs, steps, params)
    upstream = upstream or (torch.randn(expected.shape), torch.randn(expected.shape[1:]))
    settings = {"steps": steps, "params": params}
    (s, v), grads = run(partial(fused, **settings), inputs, upstream)
    (s_ref, v_ref), grads_ref = run(partial(specified, **settings), inputs, upstream)
    assert_alive((s > 0).float())
    assert torch.equal(s, s_ref)
    torch.testing.assert_close(v, v_ref)
    agree_in(grads, grads_ref)


def agree_in(grads, grads_ref):
    assert grads.keys() == grads_ref.keys()
    for key, grad in grads.items():
        assert grads_ref[key].abs().max() > 0, key
        torch.testing.assert_close(grad, grads_ref[key], rtol=1e-4, atol=2e-5, msg=lambda m, key=key: f"d{key}: {m}")


def exact(steps, static, shape, current=False, spikes=False, v=False):
    """Inputs with an exact current, so that spikes must be the reference's bit for bit; which gates, and whether v."""
    gates = lambda: 2.0 ** -torch.randint(0, 2, (steps, *shape[:2])).float()  # noqa: E731
    return Inputs(
        torch.randint(-64, 65, (1 if static else steps, *shape)) / 32,
        2.0 ** torch.randint(-1, 2, shape[1:2]),
        torch.randint(-4, 5, shape[1:2]) / 8,
        gates() if current else None,
        gates() if spikes else None,
        torch.randn(shape) if v else None,
    )


SEQUENCES = [(1, False, (5, 40)), (16, True, (3, 6, 5, 3)), (65, False, (3, 7, 3, 2))]
sequences = pytest.mark.parametrize(("steps", "static", "shape"), SEQUENCES)


@families
@pytest.mark.parametrize("steps", [1, 2, 16, 65])
@pytest.mark.parametrize("shape", [(129,), (3, 5, 7, 3)])
def test_plain(params, steps, shape, poison):
    agree(Inputs(torch.randn(steps, *shape), v=torch.randn(shape)), steps, params)


@families
@pytest.mark.parametrize("gated", [False, True])
@sequences
def test_affine(params, gated, steps, static, shape, poison):
    agree(exact(steps, static, shape, current=gated, v=True), steps, params)


@some_families
@sequences
def test_gated_spikes(params, steps, static, shape, poison):
    agree(exact(steps, static, shape, spikes=True, v=True), steps, params)


@some_families
@pytest.mark.parametrize("gated", [False, True])
@sequences
def test_sum_over_time(params, gated, steps, static, shape, poison):
    inputs, upstream = exact(steps, static, shape, gated, True), torch.randn(shape)
    summed = lambda *i: register.spike_sum(*i[:-1], steps, *params.fused_constants)  # noqa: E731
    (total,), grads = run(summed, inputs, upstream)
    (total_ref,), grads_ref = run(lambda *i: reference.spike_sum(Inputs(*i), steps, params), inputs, upstream)
    assert len(total.unique()) > 1
    torch.testing.assert_close(total, total_ref)
    agree_in(grads, grads_ref)


def rated(y, scale, shift, *none, steps, params):
    """The rate and, by way of the y that passes through, the spikes."""
    y, rate = register.spike_rate(y, scale, shift, steps, *params.fused_constants)
    return rate, fused(y, scale, shift, None, None, None, steps=steps, params=params)[0]


def specified_rated(*inputs, steps, params):
    inputs = Inputs(*inputs)
    return reference.spike_rate(inputs, steps, params), reference.fire(inputs, steps, params)[0]


@some_families
@sequences
def test_rate(params, steps, static, shape, poison):
    inputs, spikes = exact(steps, static, shape), torch.randn(steps, *shape)
    upstream, settings = (torch.randn(steps, *shape[:2]), spikes), {"steps": steps, "params": params}
    (rate, _), grads = run(partial(rated, **settings), inputs, upstream)
    (rate_ref, _), grads_ref = run(partial(specified_rated, **settings), inputs, upstream)
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
        agree(Inputs(y), 3, FSVAE_LIF)
        agree(Inputs(y, scale, shift, current_gate=factor), 3, FSVAE_LIF)
        agree(Inputs(y, scale, shift, spike_gate=factor), 3, FSVAE_LIF)
        wide = torch.randint(-64, 65, (3, 5, 5000)) / 32
        agree(Inputs(wide, torch.ones(5000), torch.zeros(5000)), 3, FSVAE_LIF)
        settings = {"steps": 3, "params": FSVAE_LIF}
        found, expected = (f(y, scale, shift, **settings) for f in (rated, specified_rated))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
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
            agree(Inputs(y, scale, shift), 6, FSVAE_LIF, (grad, last))
    channels_last = whole.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    agree(Inputs(channels_last, scale, shift), 6, FSVAE_LIF)
    spikes, _ = fused(channels_last, scale, shift, None, None, None, steps=6, params=FSVAE_LIF)
    assert spikes.stride() == channels_last.stride()
    agree(Inputs(whole[::2, :, :, 1:], scale, shift), 3, FSVAE_LIF)
    if not affine:
        agree(Inputs(whole[:1].expand(6, -1, -1, -1, -1)), 6, FSVAE_LIF)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gate", [None, "current_gate", "spike_gate"])
def test_half_storage_float32_state(dtype, gate):
    """A half input gives what its float32 copy gives; spikes and gradients are rounded once, on being stored."""
    y = torch.randn(16, 3, 8, 5, 5).to(dtype)
    scale, shift = (torch.rand(8) + 0.5, torch.randn(8) / 4) if gate else (None, None)
    gates = {gate: torch.rand(16, 3, 8)} if gate else {}
    grad, last = torch.randn(y.shape).to(dtype), torch.randn(y.shape[1:])
    op = partial(fused, steps=16, params=FSVAE_LIF)
    (s, v), grads = run(op, Inputs(y, scale, shift, **gates), (grad, last))
    (s32, v32), grads32 = run(op, Inputs(y.float(), scale, shift, **gates), (grad.float(), last))
    assert_alive((s > 0).float())
    assert s.dtype == dtype and v.dtype == torch.float32
    assert torch.equal(s, s32.to(dtype)) and torch.equal(v, v32)
    for key, grad32 in grads32.items():
        assert torch.equal(grads[key], grad32.to(dtype) if key == "y" else grad32), key


def test_half_rounding_of_special_values():
    """The conversions that the kernels do themselves are PyTorch's: ties to even, overflow, subnormals, NaN."""
    odd = torch.tensor([0.0, -0.0, 1.00390625, 1.01171875, 3.4e38, -1e30, 1e-40, 6e-8, 2049.0, torch.nan])
    soft = LIFParams(1.0, 1.0, 1e38, False, False, True, Surrogate("rectangle", 1e-6, centre=9.0))
    for dtype in (torch.bfloat16, torch.float16):
        x = torch.zeros(1, len(odd), dtype=dtype, requires_grad=True)
        _, v = lif(x, params=soft, backend="cpu")
        v.backward(odd)
        torch.testing.assert_close(x.grad[0], odd.to(dtype), rtol=0, atol=0, equal_nan=True)


def test_flips_are_rare_for_other_decays():
    """A decay that is no power of two: at most one spike in 10^5 may differ."""
    x = torch.randn(16, 50000)
    params = replace(TCJA_LIF, decay=0.3, gain=0.7, v_th=0.4)
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


SETTINGS = 3, *FSVAE_LIF.fused_constants


@pytest.mark.parametrize("affine", [False, True])
def test_opcheck(affine):
    y, v = torch.randn(3, 2, 4, 5, 5, requires_grad=True), torch.randn(2, 4, 5, 5, requires_grad=True)
    shapes = (4,), (4,), (3, 2, 4), (3, 2, 4)
    more = [torch.rand(shape, requires_grad=True) if affine else None for shape in shapes]
    torch.library.opcheck(register.fire_op, (y, *more, v, *SETTINGS))
    if affine:
        torch.library.opcheck(register.spike_sum_op, (y, *more, *SETTINGS))


def test_opcheck_of_the_rate():
    y, scale, shift = torch.randn(3, 2, 4, 5, 5), torch.rand(4), torch.rand(4)
    torch.library.opcheck(register.spike_rate_op, (y, scale, shift, *SETTINGS))
    dy = contiguous(torch.randn_like(y), order(y, True))
    torch.library.opcheck(register.spike_rate_backward_op, (dy, torch.randn(3, 2, 4), y, scale, shift, *SETTINGS))


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
