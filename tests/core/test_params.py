"""Neurons as configuration: the families, and how they are kept as plain data."""

from dataclasses import replace
from pathlib import Path

import pytest

from fsvae_tcja.core import FSVAE_LIF, LIF, NEURONS, SURROGATES, TCJA_TET_LIF, LIFParams, Neuron, params
from fsvae_tcja.utils.configuration import from_dict, to_dict

README = (Path(params.__file__).parent / "README.md").read_text()


def first_column(header: str) -> list[str]:
    """The first cells of the table with this header in core/README.md."""
    rows = README.split(header)[1].split("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip().strip("`") for row in rows]


def test_the_readme_lists_every_neuron_and_every_surrogate():
    assert first_column("| neuron |") == list(NEURONS)
    assert first_column("| surrogate |") == list(SURROGATES)


def test_no_default_is_another_neuron():
    assert LIF().params == NEURONS["fsvae2022"] == FSVAE_LIF
    with pytest.raises(TypeError, match="decay"):
        LIFParams()


@pytest.mark.parametrize("name", NEURONS)
def test_a_name_stands_for_its_family_also_in_old_files(name):
    assert Neuron.of(name) is NEURONS[name]
    assert Neuron.of(NEURONS[name]) is NEURONS[name]


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown neuron 'ten'.*choose one of \['fsvae2022', 'atan'"):
        Neuron.of("ten")


@pytest.mark.parametrize("neuron", [*NEURONS.values(), replace(TCJA_TET_LIF, decay=0.3)])
def test_plain_data_and_back(neuron):
    data = to_dict(neuron)
    assert data["type"] == type(neuron).__name__
    assert from_dict(Neuron, data) == neuron


def test_build_gives_the_module():
    module = TCJA_TET_LIF.build(8, backend="reference")
    assert isinstance(module, LIF)
    assert (module.params, module.v_th, module.backend) == (TCJA_TET_LIF, 1.0, "reference")
    assert module.fused_constants is TCJA_TET_LIF.fused_constants
