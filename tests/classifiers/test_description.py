import pytest

from classifiers.config import ClassifierConfig
from classifiers.description import Token, parse
from classifiers.model import SpikingClassifier


def test_every_token_is_read():
    line = "AP->48 64C TCJA(2,4) MP2 8S 16R/2 TCJA(3,1) 16R LIF AP3 GAP DP.5 FC110 LIF Vote11"
    assert parse(line) == [
        Token("AP->", (48,)),
        Token("C", (64,), (2, 4)),
        Token("MP", (2,)),
        Token("S", (8,)),
        Token("R", (16, 2), (3, 1)),
        Token("R", (16,)),
        Token("LIF", ()),
        Token("AP", (3,)),
        Token("GAP", ()),
        Token("DP", (0.5,)),
        Token("FC", (110,)),
        Token("LIF", ()),
        Token("Vote", (11,)),
    ]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("", "a network needs at least one layer, found none"),
        ("64X FC10", "unknown layer '64X': known are 64C"),
        ("0C FC10", "a layer's numbers must be above 0, found '0C'"),
        ("TCJA(4,4) 64C FC10", r"TCJA\(4,4\) must follow a convolution or residual block without one"),
        ("64C TCJA(4,4) TCJA(4,4) FC10", r"TCJA\(4,4\) must follow a convolution or residual block without one"),
        ("64C MP2 TCJA(4,4) FC10", r"TCJA\(4,4\) must follow a convolution or residual block without one"),
        ("64C LIF FC10", "LIF must follow one of .*, found C before it"),
        ("LIF", "LIF must follow one of .*, found the start before it"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_configuration(layers, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(layers)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("4C FC9", r"the network ends in \[9\] values, expected one for each of 10 classes"),
        ("4C", r"the network ends in \[4, 16, 16\] values"),
        ("4C FC25 LIF Vote10", "Vote10 needs a multiple of 10 neurons, found 25"),
        ("4C FC100 LIF Vote10 MP2", r"MP needs \[C, H, W\], found \[10\]"),
        ("4C MP2 MP2 MP2 MP2 MP2 FC10", "MP2 needs at least 2x2 pixels, found 1x1"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        SpikingClassifier(ClassifierConfig(layers))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": 0}, "T must be a whole number >= 1, found 0"),
        ({"classes": 2.5}, "classes must be a whole number >= 1, found 2.5"),
        ({"shape": (1, 16)}, "shape must be channels, height and width, each >= 1"),
        ({"neuron": "relu"}, "unknown neuron 'relu'.*choose one of .*'atan', 'triangle', 'tet'"),
        ({"attention": "both"}, "attention must be one of .*, found 'both'"),
        ({"placement": "weights"}, "placement must be one of .*, found 'weights'"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**change)
