"""Names of parts, firing rates, dead and saturated neurons, and a model that is left as it was."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from classifiers.layers import Dense, Fire
from classifiers.model import SpikingClassifier
from classifiers.nets import NETS
from classifiers.parts import Place, observe, parts
from classifiers.report.firing import firing
from fsvae_tcja.core import LIF, TCJA, SpikingLayer
from fsvae_tcja.runtime.firing import MANY_DEAD, MANY_SATURATED, Firing, LayerFiring, warnings

from .networks import PLAIN, RESIDUAL, flow, network, noise

BACKENDS = ["auto", "reference"]


def test_names_follow_the_description():
    assert [part.name for part in parts(network(PLAIN))] == ["1 3C", "3 4C", "6 FC6", "7 FC3"]
    names = "1 3S, 2 3R LIF, 2 3R conv 1, 2 3R conv 2, 3 4R/2 LIF, 3 4R/2 conv 1, 3 4R/2 conv 2, 3 4R/2 shortcut"
    assert [part.name for part in parts(network(RESIDUAL))] == [*names.split(", "), "4 LIF", "6 FC3"]


@pytest.mark.parametrize("name", NETS)
def test_every_weight_neuron_and_attention_belongs_to_one_part(name):
    with torch.device("meta"):
        model = SpikingClassifier(NETS[name])
    found, modules = parts(model), list(model.modules())
    assert len({part.name for part in found}) == len(found)
    weights = {id(m) for m in modules if isinstance(m, nn.Conv2d | nn.Linear)}
    assert sorted(weights) == sorted(id(part.weights) for part in found if part.weights is not None)
    attentions = {id(m) for m in modules if isinstance(m, TCJA)}
    assert sorted(attentions) == sorted(id(part.attention) for part in found if part.attention is not None)
    assert sum(part.spikes is not None for part in found) == sum(isinstance(m, LIF) for m in modules)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("placement", ["spikes", "current"])
@pytest.mark.parametrize("layers", [PLAIN, RESIDUAL, "3C MP2 FC3 LIF", "4S LIF FC3"])
@pytest.mark.parametrize("steps", [(), (3,)], ids=["images", "sequences"])
def test_rates_are_those_of_the_layers_outputs(layers, placement, backend, steps):
    model = network(layers, backend=backend, placement=placement)
    x = noise(*steps, 5, 2, 8, 9)
    spikes = [y for layer, _, y in flow(model, x) if isinstance(layer, SpikingLayer | Dense | Fire | LIF)]
    found = firing(model, [x])
    assert (found.n, found.T, len(found.layers)) == (5, 3, len(spikes))
    for layer, y in zip(found.layers, spikes, strict=True):
        fired = (y != 0).flatten(0, 1).flatten(1)  # [T*N, neurons]
        assert 0 < fired.sum() < fired.numel()
        assert layer.neurons == fired.shape[1]
        assert layer.rate == pytest.approx(fired.double().mean().item())
        assert layer.dead == pytest.approx((~fired.any(0)).double().mean().item())
        assert layer.saturated == pytest.approx(fired.all(0).double().mean().item())


def test_dead_and_saturated_by_hand():
    """Currents 0, 4, 1.2 with u = (v + x) / 2, v_th = 1: never; always; u = 0.6, 0.9, 1.05 fires at t = 2."""
    model = network("3C FC3 LIF")
    norm = model.layers[0].norm
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.copy_(torch.tensor([0, 4, 1.2]))
    layer = firing(model, [noise(4, 2, 8, 9), noise(1, 2, 8, 9)]).layers[0]
    assert layer == LayerFiring("1 3C", 3 * 8 * 9, pytest.approx((0 + 1 + 1 / 3) / 3), 1 / 3, 1 / 3)


def test_batches_make_no_difference():
    model = network("3C MP2 4C FC3 LIF")
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_(8).round_().div_(8)  # exact sums, in whatever order
    x = (noise(7, 2, 8, 9) * 4).round()
    assert firing(model, x.split(3)) == firing(model, [x]) == firing(model, x.split(1))


def state(model):
    tensors = {name: t.clone() for name, t in model.state_dict().items()}
    return tensors, [module.training for module in model.modules()]


def assert_untouched(model, before):
    tensors, training = before
    assert all(torch.equal(t, tensors[name]) for name, t in model.state_dict().items())
    assert [module.training for module in model.modules()] == training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("layers", [PLAIN, RESIDUAL])
def test_the_model_and_the_random_state_are_left_alone(layers):
    model = network(layers).train()
    model.layers[2].eval()
    before, seed = state(model), torch.get_rng_state()
    x = noise(6, 2, 8, 9)
    whole = firing(model, [x])
    assert firing(model, DataLoader(list(x), batch_size=6)) == whole  # which draws a global random number
    assert torch.equal(torch.get_rng_state(), seed)
    assert_untouched(model, before)
    with pytest.raises(ValueError, match="found a sequence of 4"):
        firing(model, [noise(3, 1, 2, 8, 9), noise(4, 1, 2, 8, 9)])
    assert_untouched(model, before)


def test_no_graph_is_kept():
    model, grads = network(PLAIN), []
    observe(
        model,
        [noise(2, 2, 8, 9)],
        [(part.spikes, lambda x: grads.append(x.requires_grad)) for part in parts(model) if part.spikes],
    )
    assert grads == [False] * 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_of_convolutions_with_a_bias_are_read(backend):
    model, shapes = network("3C MP2 4C FC3", bias=True, backend=backend), []
    weights = [part.weights for part in parts(model)]
    readers = [(Place(module, "input"), lambda x: shapes.append(tuple(x.shape))) for module in weights]
    observe(model, [noise(2, 2, 8, 9)], readers)
    assert shapes == [(2, 2, 8, 9), (6, 3, 4, 4), (6, 4 * 4 * 4)]  # an image once, then T*N


def test_bad_input():
    model = network(PLAIN)
    with pytest.raises(ValueError, match="no inputs: expected at least one batch"):
        firing(model, [])
    with pytest.raises(ValueError, match="all images or all sequences, found both"):
        firing(model, [noise(2, 2, 8, 9), noise(3, 2, 2, 8, 9)])


def test_warnings_name_layer_share_and_remedy():
    just = Firing(64, 4, (LayerFiring("1 64C", 1000, 0.1, MANY_DEAD, MANY_SATURATED),))
    assert warnings(just) == []
    sick = Firing(64, 4, (LayerFiring("1 64C", 16384, 0.0, 0.97, 0.0), LayerFiring("3 128C", 10, 0.9, 0.0, 0.5)))
    dead, saturated = warnings(sick)
    assert dead.startswith("neurons that never fired over 64 inputs: 97% of the 16,384 of layer 1 64C. If")
    assert "every step of all 64 inputs" in saturated and ": 50% of the 10 of layer 3 128C. Lower" in saturated
    assert all("ower the learning rate" in sentence for sentence in (dead, saturated))


def test_one_warning_for_all_dead_layers():
    (line,) = warnings(Firing(64, 4, tuple(LayerFiring(f"{i} 8C", 8, 0.0, 1.0, 0.0) for i in range(7))))
    assert "100% of the 8 of layer 3 8C and 3 layers more. If" in line and "layer 4 8C" not in line


def test_table():
    text = Firing(
        1000, 4, (LayerFiring("1 64C", 16384, 0.125, 0.25, 0.003), LayerFiring("12 FC10", 10, 1, 0, 1))
    ).table()
    head, columns, first, last = text.splitlines()
    assert head == "firing over 1,000 inputs of T = 4 steps"
    assert first.split() == ["1", "64C", "16,384", "0.1250", "25.0%", "0.3%"]
    assert len(columns) == len(first) == len(last)
