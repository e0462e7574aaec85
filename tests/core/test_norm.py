"""tdBN: golden arrays, repeats, the affine form, running statistics."""

import copy
from types import SimpleNamespace

import pytest
import torch

from fsvae_tcja.core import LIF, Linear, SpikingLayer, TDBatchNorm
from fsvae_tcja.core.kernels.norm import reference

from .conftest import load


@pytest.fixture
def golden() -> dict[str, torch.Tensor]:
    return load("tdbn")


@pytest.fixture
def norm(golden) -> TDBatchNorm:
    norm = TDBatchNorm(golden["x"].shape[2], float(golden["v_th"]), float(golden["alpha"]))
    norm.load_state_dict(norm.state_dict() | {"weight": golden["weight"], "bias": golden["bias"]})
    return norm


def test_golden(golden, norm):
    x = golden["x"].flatten(0, 1)
    torch.testing.assert_close(norm(x), golden["y_train"].flatten(0, 1))
    torch.testing.assert_close(norm.running_mean, golden["running_mean"])
    torch.testing.assert_close(norm.running_var, golden["running_var"])
    torch.testing.assert_close(norm.eval()(x), golden["y_eval"].flatten(0, 1))
    assert norm.num_batches_tracked == 1


def test_scale_is_the_threshold():
    y = TDBatchNorm(3, v_th=0.2, alpha=2.0)(torch.randn(4000, 3) * 7 + 5)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(0), torch.full((3,), 0.4), atol=1e-4, rtol=0)


def test_repeats_are_copies():
    x = torch.randn(5, 3, 4, 4)
    once, copied = TDBatchNorm(3, 0.2), TDBatchNorm(3, 0.2)
    torch.testing.assert_close(once(x, repeats=6).repeat(6, 1, 1, 1), copied(x.repeat(6, 1, 1, 1)))
    torch.testing.assert_close(once.running_mean, copied.running_mean)
    torch.testing.assert_close(once.running_var, copied.running_var)


@pytest.mark.parametrize("batch", [True, False])
def test_affine_is_the_norm(norm, batch):
    x = torch.randn(50, 4)
    norm.train(batch).running_mean.normal_()
    mean, var = (x.mean(0), x.var(0, correction=0)) if batch else (norm.running_mean, norm.running_var)
    scale, shift = norm.affine(mean, var)
    torch.testing.assert_close(scale * x + shift, norm(x))


def test_affine_is_differentiated_where_the_bias_alone_learns(norm, monkeypatch):
    """The tables of the GPU have no gradient."""
    plain = SimpleNamespace(affine=torch.no_grad()(reference.affine))
    monkeypatch.setattr("fsvae_tcja.core.norm.tables_of", lambda x: plain)
    norm.weight.requires_grad_(False)
    _, shift = norm.eval().affine(norm.running_mean, norm.running_var)
    shift.sum().backward()
    assert torch.equal(norm.bias.grad, torch.ones_like(norm.bias))


def test_by_running_statistics_in_training_mode(norm):
    x = torch.randn(50, 4)
    norm(x)
    before = copy.deepcopy(norm.state_dict())
    found = norm.by_running_statistics(x)
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())
    assert torch.equal(found, norm.eval()(x))


def test_one_value_has_no_variance():
    with pytest.raises(
        ValueError, match=r"more than one value per channel to normalise, found .* \[1, 3\]; use a larger"
    ):
        TDBatchNorm(3, 0.2)(torch.randn(1, 3))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_copies_of_one_value_have_none_either(backend):
    layer = SpikingLayer(Linear(5, 3), TDBatchNorm(3, 0.2), LIF(backend=backend))
    with pytest.raises(
        ValueError, match=r"more than one value per channel to normalise, found .* \[1, 3\]; use a larger"
    ):
        layer.forward_static(torch.randn(1, 5), 4)
