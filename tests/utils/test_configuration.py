"""Configurations as plain data, and back."""

import json
from dataclasses import dataclass, field, replace

import pytest

from fsvae_tcja import NEURONS, Bernoulli, FSVAEConfig, TrainConfig
from fsvae_tcja.core import TCJA_LIF, Neuron, Surrogate
from fsvae_tcja.utils.configuration import Part, from_dict, to_dict


@dataclass(frozen=True)
class Size:
    width: int
    height: int = 2


@dataclass(frozen=True)
class Picture:
    size: Size = field(default_factory=lambda: Size(1))
    names: tuple[str, ...] = ()


CONFIG = TrainConfig(
    model=FSVAEConfig(T=3, latent=Bernoulli(k=2), neuron=replace(TCJA_LIF, surrogate=Surrogate("triangle", 0.5)))
)


@pytest.mark.parametrize("config", [Picture(Size(3), ("a", "b")), CONFIG, TrainConfig()])
def test_there_and_back_through_json(config):
    assert from_dict(type(config), json.loads(json.dumps(to_dict(config)))) == config


def test_a_part_says_its_type_and_a_name_stands_for_what_the_table_holds():
    assert to_dict(Bernoulli(k=2))["type"] == "Bernoulli"
    assert from_dict(FSVAEConfig, {"neuron": "tet"}).neuron == FSVAEConfig(neuron="tet").neuron == NEURONS["tet"]


@pytest.mark.parametrize(
    ("cls", "data", "message"),
    [
        (Picture, {"sise": {}}, r"unknown key 'sise' in Picture: known are \['names', 'size'\]"),
        (Picture, {"size": {}}, r"Size lacks 'width': found \[\]"),
        (Picture, [1], r"Picture must be names and values, found \[1\]"),
        (FSVAEConfig, {"latent": {"type": "Gauss"}}, "unknown latent of type 'Gauss'.*import the module that adds it"),
        (FSVAEConfig, {"neuron": "tett"}, r"unknown neuron 'tett' \(did you mean 'tet'\?\)"),
        (FSVAEConfig, {"neuron": 3}, "expected a Neuron, or one of the names"),
    ],
)
def test_what_does_not_fit_is_named(cls, data, message):
    with pytest.raises(ValueError, match=message):
        from_dict(cls, data)


def test_a_part_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected a Neuron"):
        Neuron.of(Bernoulli())
    assert issubclass(Neuron, Part)
