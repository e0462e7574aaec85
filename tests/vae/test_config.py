import json

import pytest

from fsvae_tcja import FSVAEConfig, TCJAConfig
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae.presets import PRESETS, preset
from fsvae_tcja.vae.train import TrainConfig


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_survive_json(name):
    config = preset(name).config
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_published_recipe():
    config = preset("mnist").config
    assert (config.epochs, config.batch_size, config.lr, config.weight_decay) == (150, 250, 1e-3, 1e-3)
    assert (config.betas, config.distance, config.scheduled_sampling) == ((0.9, 0.999), "mmd", True)
    assert (config.model.T, config.model.latent, config.model.k) == (16, 128, 20)
    assert preset("cifar10").config.flip
    assert preset("celeba").config.model.image_size == 64


def test_unknown_preset():
    with pytest.raises(ValueError, match=r"unknown preset 'mnits': choose one of \['digits', 'mnist'"):
        preset("mnits")


def test_unknown_key():
    with pytest.raises(ValueError, match="unknown key 'latents' in FSVAEConfig: known are"):
        from_dict(FSVAEConfig, {"latents": 3})
    with pytest.raises(ValueError, match="unknown key 'kernel' in TCJAConfig"):
        from_dict(FSVAEConfig, {"tcja": {"kernel": 3}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"T": 0}, "T must be a whole number >= 1, found 0"),
        ({"T": 4.5}, "T must be a whole number >= 1, found 4.5"),
        ({"in_channels": 2}, r"in_channels must be 1 \(grey\) or 3 \(RGB\), found 2"),
        ({"image_size": 28}, "4 encoder blocks make a model for 32x32 images, found image_size=28"),
        ({"image_size": 64}, r"64 pixels: 5"),
        ({"channels": ()}, "channels must name at least one block"),
        ({"readout": "sum"}, "readout must be one of"),
        ({"sampling": "fast"}, "sampling must be one of"),
        ({"tcja": TCJAConfig(encoder=(4,))}, r"tcja.encoder must name different blocks among 0\.\.3, found \(4,\)"),
        ({"tcja": TCJAConfig(decoder=(1, 1))}, "tcja.decoder must name different blocks"),
    ],
)
def test_bad_model(values, message):
    with pytest.raises(ValueError, match=message):
        FSVAEConfig(**values)


def test_bad_attention_and_training():
    with pytest.raises(ValueError, match="placement must be one of"):
        TCJAConfig(placement="everywhere")
    with pytest.raises(ValueError, match="kernels must be >= 1, found kernel_c=0"):
        TCJAConfig(kernel_c=0)
    with pytest.raises(ValueError, match="fusion must be one of"):
        TCJAConfig(fusion="sum")
    with pytest.raises(ValueError, match="distance must be one of"):
        TrainConfig(distance="l2")
    with pytest.raises(ValueError, match="batch_size must be >= 1, found 0"):
        TrainConfig(batch_size=0)
    with pytest.raises(ValueError, match="lr must be > 0"):
        TrainConfig(lr=-1.0)
