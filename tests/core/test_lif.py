"""The neuron: golden arrays, traces by hand, state, bad input. On every backend that runs here."""

import copy
from dataclasses import replace

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF, LIF, TCJA_LIF, TCJA_TET_LIF, TCJA_TRIANGLE_LIF, lif, lif_step

from .conftest import assert_alive, load

GOLDEN = {
    "lif_fsvae": FSVAE_LIF,
    "lif_tcja_atan": TCJA_LIF,
    "lif_tcja_triangle": TCJA_TRIANGLE_LIF,
    "lif_tet": TCJA_TET_LIF,
}
backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


@backends
@pytest.mark.parametrize("family", GOLDEN)
def test_golden(family, backend):
    golden = load(family)
    x = golden["x"].requires_grad_()
    spikes, _ = lif(x, params=GOLDEN[family], backend=backend)
    assert_alive(spikes)
    assert torch.equal(spikes, golden["spikes"])
    spikes.backward(golden["grad_spikes"])
    torch.testing.assert_close(x.grad, golden["grad_x"], rtol=1e-5, atol=1e-6)


@backends
def test_trace_by_hand(backend):
    """decay 1/2, gain 1, threshold 1; u = .5, 1.25 (fires), then from 0 or from .25."""
    x = torch.tensor([0.5, 1.0, 0.75, 0.5])
    hard = replace(TCJA_LIF, gain=1.0)
    soft = replace(hard, hard_reset=False)
    assert [t.tolist() for t in lif(x, params=hard, backend=backend)] == [[0, 1, 0, 0], 0.875]
    assert [t.tolist() for t in lif(x, params=soft, backend=backend)] == [[0, 1, 0, 0], 0.9375]


@backends
@pytest.mark.parametrize(("strict", "fires"), [(True, 0.0), (False, 1.0)])
@pytest.mark.parametrize("v_th", [0.2, 1.0])
def test_at_the_threshold(backend, strict, fires, v_th):
    x = torch.tensor([[v_th]])
    spikes, _ = lif(x, params=replace(TCJA_LIF, gain=1.0, v_th=v_th, strict=strict), backend=backend)
    assert spikes.item() == fires


@backends
@pytest.mark.parametrize("cut", [1, 3, 7])
def test_splitting_time_is_the_identity(backend, cut):
    x = torch.randn(8, 5, 7)
    for dtype in (torch.float32, torch.bfloat16):
        whole, last = lif(x.to(dtype), backend=backend)
        first, v = lif(x[:cut].to(dtype), backend=backend)
        second, v = lif(x[cut:].to(dtype), v, backend=backend)
        assert_alive(whole)
        assert torch.equal(torch.cat([first, second]), whole)
        assert torch.equal(v, last)


def test_step_is_the_sequence():
    x = torch.randn(6, 4, 5)
    whole, last = lif(x)
    v = None
    for x_t, s_t in zip(x, whole, strict=True):
        spikes, v = lif_step(x_t, v)
        assert torch.equal(spikes, s_t)
    assert torch.equal(v, last)


def test_module_keeps_no_state():
    neuron = LIF(TCJA_LIF)
    x = torch.randn(4, 3)
    first = neuron(x)
    assert not neuron.state_dict() and not list(neuron.parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, copy.deepcopy(neuron)(x), strict=True))
    assert torch.equal(neuron.step(x[0])[0], first[0][0])


def test_bad_input():
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match=r"T >= 1, found shape \[0, 3\]"):
        lif(x[:0])
    with pytest.raises(ValueError, match=r"floating point, found torch.int64; convert it with x.float\(\)"):
        lif(x.long())
    with pytest.raises(ValueError, match=r"membrane has shape \[2\], one step of the input \[3\]"):
        lif(x, torch.zeros(2))
    with pytest.raises(ValueError, match=r"membrane has shape \[2\], one step of the input \[3\]"):
        lif_step(x[0], torch.zeros(2))
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\], found 1.5"):
        replace(TCJA_LIF, decay=1.5)
    with pytest.raises(ValueError, match="v_th must be > 0, found 0"):
        replace(TCJA_LIF, v_th=0)
