"""The table of surrogates against the finite difference of its primitives, in float64."""

import numba
import numpy as np
import pytest
import torch

from fsvae_tcja.core import SURROGATES, Surrogate


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_derivative_is_that_of_the_primitive(kind, width):
    d = torch.linspace(-2.03, 2.03, 997, dtype=torch.float64)  # meets no kink
    h = 1e-6
    primitive = SURROGATES[kind].primitive
    slope = (primitive(d + h, width) - primitive(d - h, width)) / (2 * h)
    derivative = Surrogate(kind, width).derivative(d)
    assert derivative.max() > 0.1
    torch.testing.assert_close(derivative.double(), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", SURROGATES)
def test_primitive_climbs_from_0_to_1(kind):
    d = torch.tensor([-1e6, 0.0, 1e6], dtype=torch.float64)
    torch.testing.assert_close(
        SURROGATES[kind].primitive(d, 0.7), torch.tensor([0, 0.5, 1.0]).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kind", SURROGATES)
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
