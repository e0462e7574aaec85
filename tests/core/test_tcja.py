"""TCJA: golden arrays, its axes by hand, ablations, bad input."""

import pytest
import torch

from fsvae_tcja.core import TCJA, tcja, tcja_gate

from .conftest import load


@pytest.mark.parametrize("case", ["tcja_0", "tcja_1", "tcja_2"])
def test_golden(case):
    golden = load(case)
    inputs = [golden[key].requires_grad_() for key in ("x", "cla_weight", "tla_weight")]
    y = tcja(*inputs)
    torch.testing.assert_close(y, golden["y"])
    y.backward(golden["grad_y"])
    for x, key in zip(inputs, ("grad_x", "grad_cla", "grad_tla"), strict=True):
        torch.testing.assert_close(x.grad, golden[key], rtol=1e-4, atol=1e-6)


def test_tla_slides_along_time_and_cla_along_channels():
    """An even kernel looks one back and two ahead; its last tap is told apart by an impulse."""
    z = torch.zeros(6, 1, 5)
    z[3, 0, 2] = 1.0
    last_tap = torch.tensor([0.0, 0, 0, 1])
    tla = tcja_gate(z, None, torch.eye(5)[:, :, None] * last_tap, "tla").logit()
    cla = tcja_gate(z, torch.eye(6)[:, :, None] * last_tap, None, "cla").logit()
    assert tla.nonzero().tolist() == [[1, 0, 2]]  # t + 2 = 3, same channel
    assert cla.nonzero().tolist() == [[3, 0, 0]]  # c + 2 = 2, same step


def test_fusions():
    module = {fusion: TCJA(3, 4, fusion=fusion) for fusion in ("joint", "add", "tla", "cla")}
    assert sum(p.numel() for p in module["joint"].parameters()) == 4 * 3**2 + 4 * 4**2
    assert sum(p.numel() for p in module["tla"].parameters()) == 4 * 4**2
    assert sum(p.numel() for p in module["cla"].parameters()) == 4 * 3**2
    z = torch.randn(3, 2, 4)
    cla, tla = module["joint"].cla.weight, module["joint"].tla.weight
    alone = [tcja_gate(z, cla, tla, fusion).logit() for fusion in ("tla", "cla")]
    torch.testing.assert_close(tcja_gate(z, cla, tla, "joint"), (alone[0] * alone[1]).sigmoid())
    torch.testing.assert_close(tcja_gate(z, cla, tla, "add"), (alone[0] + alone[1]).sigmoid())


def test_gate_is_per_channel_and_step():
    x = torch.rand(3, 2, 4, 5, 6)
    module = TCJA(3, 4)
    gate = module.gate(x)
    assert gate.shape == (3, 2, 4) and gate.min() > 0 and gate.max() < 1
    torch.testing.assert_close(module(x), gate[..., None, None] * x)
    torch.testing.assert_close(gate, module.gate(x.mean((3, 4))))


def test_bad_input():
    with pytest.raises(ValueError, match=r"made for T=3 steps of C=4 channels, found .* \[2, 1, 4\]; T is part of"):
        TCJA(3, 4)(torch.randn(2, 1, 4))
    with pytest.raises(ValueError, match=r"fusion must be one of .*, found 'max'"):
        TCJA(3, 4, fusion="max")
    with pytest.raises(ValueError, match="must be >= 1, found K_C=0"):
        TCJA(3, 4, kernel_c=0)


def test_an_unknown_fusion_is_none_of_the_others():
    with pytest.raises(ValueError, match=r"fusion must be one of .*, found 'product'"):
        tcja_gate(torch.randn(3, 2, 4), torch.randn(3, 3, 4), torch.randn(4, 4, 4), "product")


@pytest.mark.parametrize(("fusion", "missing"), [("joint", "cla"), ("joint", "tla"), ("tla", "tla"), ("cla", "cla")])
def test_a_weight_that_is_read_may_not_be_missing(fusion, missing):
    weights = {"cla_weight": torch.randn(3, 3, 4), "tla_weight": torch.randn(4, 4, 4)} | {f"{missing}_weight": None}
    with pytest.raises(ValueError, match="reads a weight that is None"):
        tcja_gate(torch.randn(3, 2, 4), **weights, fusion=fusion)
