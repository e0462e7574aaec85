"""Gates against their definition for both placements and backends; recording leaves no trace."""

import pytest
import torch

from classifiers.report.gates import gates, mean_gates
from fsvae_tcja.core import SpikingLayer

from .networks import PLAIN, RESIDUAL, flow, network, noise


def expected(model, x):
    """The gate of each layer's spikes before TCJA, or of its normalised current."""
    found = []
    for layer, inputs, _ in flow(model, x):
        if isinstance(layer, SpikingLayer) and layer.attention is not None:
            T = layer.attention.steps
            sequence = inputs if inputs.dim() == 5 else inputs.expand(T, *inputs.shape)
            with torch.no_grad():
                current = layer.norm(layer.transform(sequence.flatten(0, 1))).unflatten(0, sequence.shape[:2])
                gated = current if layer.placement == "current" else layer.neuron(current)[0]
                found.append(layer.attention.gate(gated))
    return found


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("placement", ["spikes", "current"])
@pytest.mark.parametrize("layers", [PLAIN, RESIDUAL])
@pytest.mark.parametrize("steps", [(), (3,)], ids=["images", "sequences"])
def test_gates_are_those_of_what_is_gated(layers, placement, backend, steps):
    model = network(layers, placement=placement, backend=backend)
    x = noise(*steps, 2, 2, 8, 9)
    found = gates(model, x)
    names = ["2 3R conv 1", "3 4R/2 conv 1"] if layers == RESIDUAL else ["1 3C", "2 4C"]
    assert [name for name in found] == [name.replace("2 4C", "3 4C") for name in names]
    for gate, by_hand in zip(found.values(), expected(model, x), strict=True):
        assert gate.std() > 0.01
        torch.testing.assert_close(gate, by_hand)


@pytest.mark.parametrize("placement", ["spikes", "current"])
def test_mean_over_batches(placement):
    model = network(PLAIN, placement=placement)
    x = noise(5, 2, 8, 9)
    whole = gates(model, x)
    means = mean_gates(model, x.split(2))
    assert list(means) == list(whole)
    for name, mean in means.items():
        assert mean.shape == (3, whole[name].shape[2])
        torch.testing.assert_close(mean, whole[name].mean(1))


def test_recording_leaves_no_trace():
    model = network(PLAIN, placement="current").train()
    x = noise(2, 2, 8, 9)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    gates(model, x)
    with pytest.raises(ValueError, match="inputs must be images"):
        gates(model, x[..., :3])
    attention = model.layers[0].attention
    assert model.training and "gate" not in vars(attention)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_without_tcja_there_is_none():
    model = network(PLAIN, attention="none")
    assert gates(model, noise(2, 2, 8, 9)) == mean_gates(model, [noise(2, 2, 8, 9)]) == {}
