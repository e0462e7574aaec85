"""The table of surrogates against the finite difference of its primitives, in float64; and one from outside."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch

from fsvae_tcja.core import SURROGATES, TCJA_LIF, Rule, Surrogate, lif, spike

from .conftest import OWN_RULE, assert_alive


@pytest.fixture(autouse=True)
def own(monkeypatch) -> None:
    """A line in the table is all that a surrogate of one's own takes."""
    monkeypatch.setitem(SURROGATES, "own", OWN_RULE)


KINDS = [*SURROGATES, "own"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_derivative_is_that_of_the_primitive(kind, width):
    d = torch.linspace(-2.03, 2.03, 997, dtype=torch.float64)  # meets no kink
    h = 1e-6
    primitive = SURROGATES[kind].primitive
    slope = (primitive(d + h, width) - primitive(d - h, width)) / (2 * h)
    derivative = Surrogate(kind, width).derivative(d)
    assert derivative.max() > 0.1
    torch.testing.assert_close(derivative.double(), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_primitive_climbs_from_0_to_1(kind):
    d = torch.tensor([-1e6, 0.0, 1e6], dtype=torch.float64)
    torch.testing.assert_close(
        SURROGATES[kind].primitive(d, 0.7), torch.tensor([0, 0.5, 1.0]).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_numba_compiles_the_same_function_in_float32(kind):
    d = torch.linspace(-2, 2, 401)
    compiled = numba.njit(SURROGATES[kind].derivative)
    a, b = map(np.float32, Surrogate(kind, 1.3).constants)
    values = np.array([compiled(x, a, b) for x in d.abs().numpy()])
    assert compiled.nopython_signatures[0].return_type == numba.float32
    torch.testing.assert_close(torch.from_numpy(values).float(), Surrogate(kind, 1.3).derivative(d), rtol=1e-6, atol=0)


def test_closed_forms():
    d = torch.tensor([0.0, 0.5])
    assert Surrogate("rectangle", 1.0).derivative(d).tolist() == [1.0, 0.0]  # |d| < w/2, open
    assert Surrogate("triangle", 2.0).derivative(d).tolist() == [0.5, 0.375]  # (2 - |d|) / 4
    expected = [1.0, 1 / (1 + torch.pi**2 / 4)]  # alpha 2: 1 / (1 + (pi d)^2)
    assert Surrogate("atan", 2.0).derivative(d).tolist() == pytest.approx(expected)


def test_bad_surrogates():
    with pytest.raises(ValueError, match="unknown surrogate 'box': choose one of"):
        Surrogate("box")
    with pytest.raises(ValueError, match="width must be > 0, found 0"):
        Surrogate("atan", 0)


def gradient(params, backend: str) -> torch.Tensor:
    x = torch.linspace(-3, 5, 400).view(4, 100).requires_grad_()
    spikes, _ = lif(x, params=params, backend=backend)
    assert_alive(spikes)
    return torch.autograd.grad(spikes.sum(), x)[0]


def test_an_own_surrogate_runs_on_the_cpu_kernels_as_on_the_reference(monkeypatch):
    params = replace(TCJA_LIF, surrogate=Surrogate("own", 1.3))
    found = gradient(params, "cpu")
    torch.testing.assert_close(found, gradient(params, "reference"), rtol=1e-4, atol=1e-6)
    monkeypatch.setitem(SURROGATES, "own", replace(OWN_RULE, derivative=lambda r, a, b: b / (b + r)))
    changed = gradient(params, "cpu")  # another rule under the same name is another kernel
    assert not torch.allclose(changed, found)
    torch.testing.assert_close(changed, gradient(params, "reference"), rtol=1e-4, atol=1e-6)


def test_a_surrogate_that_no_kernel_can_compile_runs_on_the_reference(monkeypatch):
    """The derivative of the logistic function needs torch.sigmoid."""
    slope = lambda r, a, b: a * torch.sigmoid(a * r) * torch.sigmoid(-a * r)  # noqa: E731
    rule = Rule(slope, lambda w: (w, 0.0), lambda d, w: torch.sigmoid(w * d), fusable=False)
    monkeypatch.setitem(SURROGATES, "logistic", rule)
    params = replace(TCJA_LIF, surrogate=Surrogate("logistic", 4.0))
    assert torch.equal(gradient(params, "auto"), gradient(params, "reference"))
    assert gradient(params, "auto").abs().sum() > 0
    with pytest.raises(
        ValueError, match="backend 'cpu' cannot run: it knows the LIF neurons of this package, and these are others"
    ):
        gradient(params, "cpu")


def test_spike_is_a_step_with_the_derivative_of_its_surrogate():
    u = torch.tensor([0.0, 1.0, 1.25], requires_grad=True)
    surrogate = Surrogate("triangle", 1.0)
    assert spike(u, 1.0, surrogate).tolist() == [0, 0, 1]
    assert spike(u, 1.0, surrogate, strict=False).tolist() == [0, 1, 1]
    (grad,) = torch.autograd.grad(spike(u, 1.0, surrogate), u, torch.tensor([1.0, 1.0, 2.0]))
    assert grad.tolist() == [0, 1, 1.5]
