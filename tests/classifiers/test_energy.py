"""Operations against hand counts and against loops over single synapses; the conventions; the table."""

from itertools import product

import pytest
import torch
from torch import nn

from classifiers.layers import Dense, Folded
from classifiers.report.energy import energy
from classifiers.residual import Current
from fsvae_tcja.core import TCJA, SpikingLayer
from fsvae_tcja.core.operations import attention_operations, fan_out
from fsvae_tcja.runtime.energy import AC_PJ, FORMULA, MAC_PJ, NOTES, Energy, LayerEnergy

from .networks import PLAIN, RESIDUAL, flow, network, noise


def synapses(weights, shape):
    """Every (input, output) pair that a weight joins: inputs (c, h, w), outputs (o, i, j), or features."""
    if isinstance(weights, nn.Linear):
        yield from (((f,), (o,)) for f in range(weights.in_features) for o in range(weights.out_features))
        return
    (k, m), (s, r), (p, q) = weights.kernel_size, weights.stride, weights.padding
    _, H, W = shape
    outputs = product(range(weights.out_channels), range((H + 2 * p - k) // s + 1), range((W + 2 * q - m) // r + 1))
    for o, i, j in outputs:
        for c, a, b in product(range(weights.in_channels), range(k), range(m)):
            h, w = i * s + a - p, j * r + b - q
            if 0 <= h < H and 0 <= w < W:
                yield (c, h, w), (o, i, j)


@pytest.mark.parametrize(
    ("weights", "shape"),
    [
        (nn.Conv2d(2, 3, 3, 1, 1), (2, 5, 4)),
        (nn.Conv2d(1, 2, 3, 2, 1), (1, 6, 7)),
        (nn.Conv2d(2, 2, 1, 2), (2, 5, 6)),
        (nn.Conv2d(1, 1, (4, 2), (3, 1), (0, 1)), (1, 9, 3)),
        (nn.Conv2d(1, 5, 3, 1, 1), (1, 1, 1)),
        (nn.Linear(4, 3), (4,)),
    ],
    ids=str,
)
def test_fan_out_is_the_number_of_synapses(weights, shape):
    counted = torch.zeros(shape, dtype=torch.int64)
    for source, _ in synapses(weights, shape):
        counted[source] += 1
    found = fan_out(weights, shape)
    assert torch.equal(found, counted)
    x = torch.zeros(1, *shape)
    reached = weights(x)[0].shape  # the loops above end where the layer does
    assert {target for _, target in synapses(weights, shape)} <= set(product(*map(range, reached)))


def weights_of(layer):
    if isinstance(layer, SpikingLayer | Dense | Current):
        return layer.transform
    return layer.layer if isinstance(layer, Folded) and isinstance(layer.layer, nn.Linear) else None


FED = {  # what each layer with weights is fed with; "gated" spikes are analog
    PLAIN: ["analog", "gated", "analog", "binary"],  # image, max-pooled spikes of TCJA, average, spikes
    RESIDUAL: ["analog", "binary", "gated", "binary", "gated", "analog", "analog"],  # shortcut: current; at last: GAP
}


@pytest.mark.parametrize("layers", [PLAIN, RESIDUAL])
@pytest.mark.parametrize("placement", ["spikes", "current"])
@pytest.mark.parametrize("steps", [(), (3,)], ids=["images", "sequences"])
def test_every_synaptic_event_is_counted_once(layers, placement, steps):
    model = network(layers, placement=placement)
    x = noise(*steps, 2, 2, 8, 9)
    x[x < 0.5] = 0
    rows = [row for row in energy(model, [x]).layers if row.dense]
    weighted = [(weights_of(layer), y) for layer, y, _ in flow(model, x) if weights_of(layer) is not None]
    assert len(rows) == len(weighted)
    for fed, row, (weights, inputs) in zip(FED[layers], rows, weighted, strict=True):
        repeats = 3 if inputs is x and not steps else 1
        samples = inputs.reshape(-1, *inputs.shape[-3 if isinstance(weights, nn.Conv2d) else -1 :])
        events, dense = 0, 0
        for source, _ in synapses(weights, samples.shape[1:]):
            dense += 1
            events += int((samples[(slice(None), *source)] != 0).sum())
        assert row.dense == dense
        assert row.events == events * repeats / 2  # two inputs
        binary = fed == "binary" or (fed == "gated" and placement == "current")
        assert binary == (set(inputs.unique().tolist()) <= {0.0, 1.0})
        assert row.inputs == ("binary" if binary else "analog")
        assert (row.macs, row.acs) == ((0, row.events) if binary else (3 * dense, 0))


def kinds(model, x):
    return [row.inputs for row in energy(model, [x]).layers if row.inputs]


def test_what_is_binary_is_decided_by_the_structure():
    x = noise(2, 2, 8, 9)
    assert kinds(network("3C MP2 4C FC3"), x) == ["analog", "binary", "binary"]
    assert kinds(network("3C AP2 4C FC3"), x) == ["analog", "analog", "binary"]
    assert kinds(network("3C TCJA(2,2) MP2 4C FC3"), x) == ["analog", "analog", "binary"]
    assert kinds(network("3C TCJA(2,2) MP2 4C FC3", placement="current"), x) == ["analog", "binary", "binary"]
    assert kinds(network("3C TCJA(2,2) MP2 4C FC3", attention="none"), x) == ["analog", "binary", "binary"]
    assert kinds(network("MP2 3C DP.5 FC6 LIF FC3"), x.expand(3, *x.shape)) == ["analog", "binary", "binary"]
    assert kinds(network("3C 3R FC3"), x) == ["analog", "binary", "binary", "analog"]
    assert kinds(network("3C 4R FC3"), x) == ["analog", "binary", "binary", "binary", "analog"]  # spikes to a shortcut


@pytest.mark.parametrize("x", [torch.ones(3, 2, 2, 8, 9), torch.zeros(3, 2, 2, 8, 9)], ids=["ones", "zeros"])
def test_events_that_are_0_or_1_are_counts_all_the_same(x):
    row = energy(network("3C FC3"), [x]).layers[0]
    assert (row.inputs, row.macs, row.acs) == ("analog", 3 * row.dense, 0)


def test_a_dead_gated_layer_costs_the_next_one_its_multiplications():
    model = network("3C TCJA(2,2) 4C FC3")
    with torch.no_grad():
        model.layers[0].norm.weight.zero_()
        model.layers[0].norm.bias.fill_(-5)
    row = next(row for row in energy(model, [noise(2, 2, 8, 9)]).layers if row.name == "2 4C")
    assert (row.inputs, row.macs, row.events, row.sparse_pj) == ("analog", 3 * row.dense, 0, 0)


def hand_made(T=3):
    """A saturated and a silent channel of 3x3 neurons, and two neurons behind them."""
    model = network("2C FC2 LIF", T=T, shape=(1, 3, 3), classes=2)
    norm = model.layers[0].norm
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.copy_(torch.tensor([0, 4.0]))
    return model


def test_by_hand():
    found = energy(hand_made(), [noise(5, 1, 3, 3)])
    conv, neurons, linear, last = found.layers
    dense = 2 * (4 * 4 + 4 * 6 + 9)  # 2 channels; 4 corners meet 4 taps, 4 edges 6, the centre 9
    assert conv == LayerEnergy("1 2C", "analog", dense, 3 * dense, 3 * dense, 0)
    assert neurons == LayerEnergy("1 2C neurons", "", 0, 0, 3 * 18, 0)
    assert linear == LayerEnergy("2 FC2", "binary", 36, 3 * 18, 0, 3 * 18)  # 9 of 18 fire at each of 3 steps
    assert last == LayerEnergy("2 FC2 neurons", "", 0, 0, 6, 0)
    assert found.pj == pytest.approx(4.6 * (3 * dense + 54 + 6) + 0.9 * 54)
    assert found.ann_pj == pytest.approx(4.6 * (dense + 36))
    assert found.ratio == pytest.approx(found.ann_pj / found.pj)


def test_zeros_of_analog_inputs_count_and_what_they_cost_is_told():
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 0, 0] = 0.5  # a corner: 4 taps
    found = energy(hand_made(), [x])
    conv = found.layers[0]
    assert (conv.macs, conv.events) == (3 * 98, 3 * 8)
    assert conv.sparse_pj == pytest.approx(4.6 * 24)
    assert found.pj - found.sparse_pj == pytest.approx(4.6 * 3 * (98 - 8))


def test_an_image_costs_what_its_repetition_costs():
    model = network(PLAIN)
    x = noise(2, 2, 8, 9)
    still, moving = energy(model, [x]), energy(model, [x.expand(3, *x.shape)])
    assert still.layers[0] == moving.layers[0]
    assert still.ann_pj == moving.ann_pj


def test_batches_make_no_difference():
    model = hand_made()
    x = noise(5, 1, 3, 3)
    x[x < 1] = 0
    assert energy(model, x.split(2)) == energy(model, [x])


def test_the_ann_knows_neither_inputs_nor_steps():
    pj = {energy(hand_made(T), [noise(2, 1, 3, 3, seed=T) * T]).ann_pj for T in (1, 4)}
    assert len(pj) == 1


@pytest.mark.parametrize(("k_c", "k_t"), [(4, 4), (2, 3), (1, 1), (7, 6)])
@pytest.mark.parametrize("fusion", ["joint", "add", "tla", "cla"])
def test_attention_by_loops(fusion, k_c, k_t):
    T, C, neurons = 4, 5, 30

    def taps(length, kernel):
        inside = [0 <= i + j - (kernel - 1) // 2 < length for i in range(length) for j in range(kernel)]
        return sum(inside)

    tla, cla = taps(T, k_t) * C * C, taps(C, k_c) * T * T
    macs = T * neurons + T * C  # gating, sigmoid
    macs += {"joint": tla + cla + T * C, "add": tla + cla, "tla": tla, "cla": cla}[fusion]
    acs = T * neurons + (T * C if fusion == "add" else 0)
    assert attention_operations(TCJA(T, C, k_c, k_t, fusion), neurons) == (macs, acs)


def test_rows_of_attention():
    rows = {row.name: row for row in energy(network(RESIDUAL), [noise(1, 2, 8, 9)]).layers}
    row, attention = rows["3 4R/2 conv 1 TCJA"], network(RESIDUAL).layers[2].inner.attention
    assert (row.macs, row.acs) == attention_operations(attention, 4 * 4 * 5)
    assert sum("TCJA" in name for name in rows) == 2
    without = energy(network(RESIDUAL, attention="none"), [noise(1, 2, 8, 9)])
    assert not any("TCJA" in row.name for row in without.layers)
    assert without.ann_pj == energy(network(RESIDUAL), [noise(1, 2, 8, 9)]).ann_pj


def test_text_begins_with_the_totals_then_notes_then_the_layers():
    found = energy(hand_made(), [noise(5, 1, 3, 3)])
    lines = found.text().splitlines()
    assert lines[0] == (
        "energy per inference: SNN 0.00168 uJ, same network as an ANN 0.000616 uJ: ANN / SNN = 0.368 "
        "(T = 3, mean over 5)"
    )
    notes = lines[1 : lines.index("")]
    assert notes == [
        "if zeros cost nothing among analog inputs: SNN 0.00168 uJ, ANN / SNN = 0.368",
        *NOTES.splitlines(),
    ]
    assert len(notes) <= 4
    assert "1 2C           analog  100.0%  294   0  1.4       98     0.5" in lines
    assert lines[-1].split() == ["total", "354", "54", "1.7", "134", "0.6"]


@pytest.mark.parametrize(("pj", "uj"), [(22_244_000, "22.2"), (1_234_567_890, "1,235"), (5e4, "0.05"), (0, "0")])
def test_microjoules(pj, uj):
    """A layer without MACs, of so many ACs."""
    layer = LayerEnergy("1 FC3", "binary", 1, 0, 0, pj / AC_PJ)
    assert f"SNN {uj} uJ, " in Energy(1, 1, (layer,)).text()


def test_notes_and_formula_name_constants_and_source():
    assert f"{MAC_PJ} pJ x MAC + {AC_PJ} pJ x AC" in FORMULA and "Horowitz" in FORMULA
    assert f"{MAC_PJ} pJ a MAC, {AC_PJ} pJ an AC" in NOTES and "Horowitz" in NOTES


def test_a_network_that_costs_nothing():
    assert Energy(1, 1, (LayerEnergy("1 FC3", "binary", 6, 0, 0, 0),)).ratio == float("inf")


def test_bad_input():
    with pytest.raises(ValueError, match="no inputs: expected at least one batch"):
        energy(hand_made(), [])
