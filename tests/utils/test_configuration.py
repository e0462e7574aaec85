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
        (FSVAEConfig, {"T": "4"}, r"T must be a whole number below 2\^63, found '4'"),
        (FSVAEConfig, {"T": True}, r"T must be a whole number below 2\^63, found True"),
        (FSVAEConfig, {"T": 4.0}, r"T must be a whole number below 2\^63, found 4\.0"),
        (FSVAEConfig, {"T": 10**30}, r"T must be a whole number below 2\^63, found 1000000"),
        (FSVAEConfig, {"T": None}, r"T must be a whole number below 2\^63, found None"),
        (FSVAEConfig, {"channels": 3}, "channels must be a list of values, found 3"),
        (FSVAEConfig, {"channels": [3, "4"]}, r"channels must be a whole number below 2\^63, found '4'"),
        (FSVAEConfig, {"input": ["image"]}, r"input must be one of \['image', 'frames'\], found \['image'\]"),
        (FSVAEConfig, {"tcja": 3}, "TCJAConfig must be names and values, found 3"),
        (FSVAEConfig, {"latent": {"type": ["Bernoulli"]}}, r"unknown latent of type \['Bernoulli'\]"),
        (FSVAEConfig, {"latent": {"type": "Bernoulli", "scheduled_sampling": 1}}, "must be true or false, found 1"),
        (TrainConfig, {"lr": "fast"}, "lr must be a finite number, found 'fast'"),
        (TrainConfig, {"lr": float("nan")}, "lr must be a finite number, found nan"),
        (TrainConfig, {"lr": float("inf")}, "lr must be a finite number, found inf"),
        (TrainConfig, {"betas": [0.9]}, r"betas must be 2 values, found \[0\.9\]"),
        (TrainConfig, {"data": 3}, "data must be text, found 3"),
        (TrainConfig, {"x" * 10_000: 3}, "unknown key 'xxx"),
    ],
)
def test_what_does_not_fit_is_named(cls, data, message):
    with pytest.raises(ValueError, match=message) as error:
        from_dict(cls, data)
    assert len(str(error.value)) < 2000


def test_a_part_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected a Neuron"):
        Neuron.of(Bernoulli())
    assert issubclass(Neuron, Part)
