"""The gates of a running model: what they are, in which order, and that recording leaves no trace."""

import pytest
import torch
from torch import nn

from fsvae_tcja.core import FSVAE_LIF, TCJA, SpikingLayer, TDBatchNorm, record_gates

T, N, C = 3, 5, 4


@pytest.fixture(params=["auto", "reference"])
def model(request, monkeypatch):
    """Two spiking layers with TCJA, one on the spikes, one on the current, in eval mode."""
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", request.param)
    torch.manual_seed(0)

    def layer(placement):
        neuron, attention, conv = FSVAE_LIF.build(C), TCJA(T, C), nn.Conv2d(C, C, 3, padding=1)
        for weight in (*attention.parameters(), conv.weight):
            nn.init.normal_(weight)  # neurons fire, and gates are far from 1/2
        return SpikingLayer(conv, TDBatchNorm(C, neuron.v_th), neuron, attention, placement)

    return nn.Sequential(layer("spikes"), layer("current")).eval()


def test_gates_are_those_that_the_layers_use(model):
    x = torch.randn(T, N, C, 8, 8)
    with torch.no_grad():
        expected = model(x)
        with record_gates(model) as gates:
            assert torch.equal(model(x), expected)
    assert list(gates) == ["0", "1"]
    first, second = model
    spikes = first.neuron(first.norm(first.transform(x.flatten(0, 1))).unflatten(0, (T, N)))[0]
    torch.testing.assert_close(gates["0"], first.attention.gate(spikes))
    given = first.attention(spikes)
    current = second.norm(second.transform(given.flatten(0, 1))).unflatten(0, (T, N))
    torch.testing.assert_close(gates["1"], second.attention.gate(current))
    assert all(gate.std() > 0.01 and not gate.requires_grad for gate in gates.values())


def test_inputs_of_several_passes_stand_one_after_the_other(model):
    x = torch.randn(T, N, C, 8, 8)
    with record_gates(model) as once:
        model(x)
    with record_gates(model) as gates:
        assert gates == {}
        for part in x.split(2, dim=1):
            model(part)
    for name, gate in gates.items():
        torch.testing.assert_close(gate, once[name])


def test_recordings_may_be_nested(model):
    x = torch.randn(T, N, C, 8, 8)
    with record_gates(model) as outer:
        model(x[:, :2])
        with record_gates(model) as inner:
            model(x[:, 2:3])
        model(x[:, 3:])
    with record_gates(model) as once:
        model(x)
    for name, gate in once.items():
        torch.testing.assert_close(outer[name], gate)
        torch.testing.assert_close(inner[name], gate[:, 2:3])
    for module in model.modules():
        assert "gate" not in vars(module) and not module._forward_hooks


def test_nothing_stays_behind(model):
    x = torch.randn(T, N, C, 8, 8)
    with pytest.raises(RuntimeError, match="stop"), record_gates(model) as gates:
        model(x)
        raise RuntimeError("stop")
    model(x)
    assert gates["0"].shape == (T, N, C)
    for module in model.modules():
        assert "gate" not in vars(module) and not module._forward_hooks


def test_a_model_without_tcja_has_none():
    with record_gates(nn.Linear(2, 2)) as gates:
        pass
    assert gates == {}
