"""A neuron from outside the package: in a layer it runs as written, whatever kernels there are."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from fsvae_tcja.core import (
    LIF,
    NEURONS,
    TCJA,
    TCJA_LIF,
    Neuron,
    NeuronModule,
    SpikingLayer,
    Surrogate,
    TDBatchNorm,
    spike,
)
from fsvae_tcja.core.backend import ENVIRONMENT
from fsvae_tcja.utils.configuration import from_dict, to_dict

from .conftest import assert_alive

T, N, C = 4, 6, 8


@dataclass(frozen=True)
class LearnableDecay(Neuron):
    """LIF neurons that learn the decay of each channel."""

    decay: float = 0.5
    v_th: float = 1.0

    def build(self, channels: int, backend: str = "auto") -> NeuronModule:
        return LearnableDecayNeurons(self, channels, backend)


class LearnableDecayNeurons(NeuronModule):
    def __init__(self, params: LearnableDecay, channels: int, backend: str = "auto") -> None:
        super().__init__(params, backend)
        self.decay = nn.Parameter(torch.full((channels,), params.decay).logit())

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        decay = self.decay.sigmoid().view(-1, *(1,) * (x.dim() - 2))
        u = x if v is None else decay * v + x
        s = spike(u, self.v_th, Surrogate("triangle", 1.0))
        return s, u * (1 - s)


def layer(placement: str | None, backend: str = "auto", transform: nn.Module | None = None) -> SpikingLayer:
    neuron = LearnableDecay().build(C, backend)
    attention = TCJA(T, C) if placement else None
    norm = TDBatchNorm(C, neuron.v_th, alpha=2.0)
    return SpikingLayer(transform or nn.Conv2d(3, C, 3, 2, 1), norm, neuron, attention, placement or "spikes")


def written_out(layer: SpikingLayer, x: Tensor) -> Tensor:
    """The equations, one after the other."""
    current = layer.norm(layer.transform(x.flatten(0, 1))).unflatten(0, x.shape[:2])
    if layer.placement == "current" and layer.attention is not None:
        current = layer.attention(current)
    v, spikes = None, []
    for x_t in current:
        s, v = layer.neuron.step(x_t, v)
        spikes.append(s)
    spikes = torch.stack(spikes)
    return layer.attention(spikes) if layer.placement == "spikes" and layer.attention is not None else spikes


CALLS = {
    "forward": (lambda layer, x: layer(x), written_out),
    "forward_static": (
        lambda layer, x: layer.forward_static(x[0], T),
        lambda layer, x: written_out(layer, x[:1].expand(T, *x.shape[1:])),
    ),
    "summed": (
        lambda layer, x: layer.summed(x, torch.arange(1.0, T + 1)),
        lambda layer, x: torch.einsum("t, tn... -> n...", torch.arange(1.0, T + 1), written_out(layer, x)),
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("placement", ["spikes", "current", None])
@pytest.mark.parametrize("train", [True, False])
def test_it_runs_as_written_beside_the_kernels(call, placement, train, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    ours = layer(placement).train(train)
    plain, x, grads = copy.deepcopy(ours), torch.rand(T, N, 3, 9, 7), []
    found, expected = CALLS[call][0](ours, x), CALLS[call][1](plain, x)
    assert len(found.unique()) > 1
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    for one, out in ((ours, found), (plain, expected)):
        out.backward(upstream)
        grads.append({name: p.grad for name, p in one.named_parameters() if name != "transform.bias" or not train})
    assert grads[0]["neuron.decay"].abs().min() > 0
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_stepping_is_the_sequence():
    ours, x = layer(None).eval(), torch.rand(T, N, 3, 9, 7)
    v, spikes = None, []
    for x_t in x:
        s, v = ours.step(x_t, v)
        spikes.append(s)
    assert_alive(torch.stack(spikes))
    assert torch.equal(torch.stack(spikes), ours(x))


def test_it_learns_in_a_layer_that_is_checkpointed():
    ours, x = layer("spikes"), torch.rand(T, N, 3, 9, 7)
    ours.checkpoint = True
    before = ours.neuron.decay.detach().clone()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    ours(x).sum().backward()
    optimizer.step()
    assert not torch.equal(ours.neuron.decay, before)


@pytest.mark.parametrize("backend", ["cpu", "triton"])
def test_a_backend_that_cannot_take_it_is_refused_by_name(backend, monkeypatch):
    message = f"backend '{backend}' cannot run: it knows the LIF neurons of this package.*take 'reference'"
    with pytest.raises(ValueError, match=message):
        layer(None, backend)
    ours = layer(None, "reference")
    assert_alive(ours(torch.rand(T, N, 3, 9, 7)))
    ours.neuron.backend = "auto"
    monkeypatch.setenv(ENVIRONMENT, backend)
    with pytest.raises(ValueError, match=message):
        ours(torch.rand(T, N, 3, 9, 7))


def test_it_is_kept_as_plain_data_by_its_line_in_the_table(monkeypatch):
    monkeypatch.setitem(NEURONS, "learnable", LearnableDecay())
    mine = LearnableDecay(decay=0.25)
    assert to_dict(mine) == {"type": "LearnableDecay", "decay": 0.25, "v_th": 1.0}
    assert from_dict(Neuron, to_dict(mine)) == mine
    assert Neuron.of("learnable").build(C).decay.shape == (C,)


class Noisy(LIF):
    """A LIF that steps in its own way."""

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        spikes, v = super().step(x, v)
        return 1 - spikes, v


def test_a_lif_with_a_step_of_its_own_is_another_neuron():
    x = torch.randn(T, 5)
    assert Noisy(TCJA_LIF).fused_constants is None
    spikes, v = Noisy(TCJA_LIF)(x)
    expected, v_ref = LIF(TCJA_LIF)(x)
    assert torch.equal(spikes, 1 - expected) and torch.equal(v, v_ref)
    one = SpikingLayer(nn.Linear(5, 3), TDBatchNorm(3, 1.0), Noisy(TCJA_LIF)).eval()
    current = one.norm(one.transform(x[:, None].flatten(0, 1))).unflatten(0, (T, 1))
    assert torch.equal(one(x[:, None]), 1 - LIF(TCJA_LIF)(current)[0])


class NotOurs(nn.Module):
    """Has what the kernels ask a neuron for, and is none."""

    fused_constants = None


@pytest.mark.parametrize("wrong", [TCJA_LIF, nn.ReLU(), NotOurs(), "tet"])
def test_what_is_no_neuron_is_refused(wrong):
    with pytest.raises(ValueError, match=f"must be a NeuronModule .* found {type(wrong).__name__}; build parameters"):
        SpikingLayer(nn.Linear(5, 3), TDBatchNorm(3, 1.0), wrong)


def test_what_is_no_neuron_is_refused_in_a_layer_that_had_one():
    one = SpikingLayer(nn.Linear(5, 3), TDBatchNorm(3, 1.0), LIF(TCJA_LIF))
    one.neuron = nn.ReLU()
    with pytest.raises(ValueError, match=r"must be a NeuronModule .* found ReLU"):
        one(torch.rand(4, 2, 5))


def test_any_transform_will_do():
    class Shift(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.roll(1, 1)

    assert_alive(layer(None, transform=nn.Sequential(nn.Conv2d(3, C, 3), Shift()))(torch.rand(T, N, 3, 9, 7)))
