"""Networks for folders of one's own images."""

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers import SpikingClassifier
from classifiers.cli import PROGRAM
from classifiers.nets import NETS
from classifiers.own_images import fitted


@pytest.mark.parametrize(
    ("net", "last"), [("digits", "FC30 LIF Vote10"), ("cifar10", "FC3"), ("ncaltech101", "FC3 LIF")]
)
def test_the_last_layer_keeps_its_neurons_for_each_class(net, last):
    config = fitted(NETS[net], 3, 3)
    assert config.layers.endswith(last) and config.layers.count("FC") == NETS[net].layers.count("FC")
    assert config.shape == (3, *NETS[net].shape[1:])
    if net == "digits":
        assert SpikingClassifier(config)(torch.rand(2, 3, 16, 16)).shape == (config.T, 2, 3)


def test_colours_and_classes_of_a_folder_make_the_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    pixels = np.random.default_rng(0)
    for name in "abc":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            image = Image.fromarray(pixels.integers(0, 256, (20, 24, 3), dtype=np.uint8))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    given = ["train", "digits", "--data", "photos", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]
    assert PROGRAM.run([*given, "--out", "run"]) == 0
    assert "--model.shape 3 16 16 --model.classes 3" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"train one with --model\.shape 3 16 16"):  # what is given is taken
        PROGRAM.run([*given, "--out", "other", "--model.classes", "10"])
