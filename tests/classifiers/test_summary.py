"""The table of a classifier's layers."""

import pytest
import torch

from classifiers import energy, summary

from .networks import network


def rows(text):
    lines = [line.replace(" + ", "+").split() for line in text.splitlines()]
    return {cells[0]: cells[1:] for cells in lines}


def test_layers_with_shape_parameters_firing_rule_and_energy():
    model = network("4C TCJA(2,2) MP2 8R LIF GAP FC6 LIF Vote2", neuron="tet")
    inputs = [torch.rand(3, 5, 2, 8, 9, generator=torch.Generator().manual_seed(0)).round()]
    found = rows(summary(model, inputs))
    gate = 2 * 3**2 + 2 * 4**2
    assert found["layers.0"][:5] == ["4x8x9", str(2 * 4 * 9 + 8 + gate), "tet+TCJA", "1", "0.5"]
    assert found["layers.2"][0] == "8x4x4" and found["layers.2"][2] == "tet"
    assert found["layers.5"][:3] == ["6", "48", "tet"]
    assert found["total"][0] == f"{sum(p.numel() for p in model.parameters()):,}"
    assert float(found["total"][-1].replace(",", "")) == pytest.approx(energy(model, inputs).pj / 1000, abs=0.06)


def test_without_inputs_there_is_no_energy():
    model = network("4C MP2 FC3")
    text = summary(model)
    assert str(model) == text
    assert text.splitlines()[0].split() == ["layer", "output", "parameters", "neurons", "threshold", "decay"]
    assert rows(text)["layers.0"][0] == "4x8x9" and "T = 3" in text
