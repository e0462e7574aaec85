import inspect
import json

import pytest
import torch

from fsvae_tcja.core import CENTRED_LIF, FSVAE_LIF, TCJA_LIF, SpikingLayer
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae import FSVAE, LATENTS, READOUTS, Bernoulli, Escape, FSVAEConfig, TCJAConfig
from fsvae_tcja.vae.energy import energy
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import TrainConfig


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_survive_json(name):
    config = PRESETS[name].config
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("data", "channels", "size", "blocks", "flip"),
    [
        ("mnist", 1, 32, (32, 64, 128, 256), False),
        ("fashion-mnist", 1, 32, (32, 64, 128, 256), False),
        ("cifar10", 3, 32, (32, 64, 128, 256), True),
        ("celeba", 3, 64, (32, 64, 128, 256, 512), True),
    ],
)
def test_published_recipe(data, channels, size, blocks, flip):
    """Kamata et al., AAAI 2022."""
    config = PRESETS[f"fsvae2022-{data}"].config
    assert (config.data, config.flip) == (data, flip)
    assert (config.epochs, config.steps, config.batch_size) == (150, 0, 250)
    assert (config.lr, config.betas, config.weight_decay) == (1e-3, (0.9, 0.999), 1e-3)
    assert (config.schedule, config.warmup, config.ema, config.recalibrate) == ("constant", 0, 0, 0)
    model = config.model
    assert (model.in_channels, model.image_size, model.channels) == (channels, size, blocks)
    assert (model.T, model.L, model.neuron) == (16, 128, FSVAE_LIF)
    assert (model.readout, model.tcja) == (READOUTS["membrane"], TCJAConfig())
    assert model.latent == Bernoulli(20, "prefix", "mmd", True)
    assert config.stages() == [config]


@pytest.mark.parametrize("data", ["mnist", "fashion-mnist", "cifar10", "celeba"])
def test_a_data_set_by_its_name_has_the_escape_latent(data):
    """Three stages, the prior without labels, for images of the same kind as the published model's."""
    config, published = (PRESETS[name].config for name in (data, f"fsvae2022-{data}"))
    assert isinstance(config.model.latent, Escape) and config.model.latent.classes == 0
    assert config.model.neuron == CENTRED_LIF and config.recalibrate
    assert config.stages() == [config, config.model.latent.prior, config.tuning.stage]
    assert (config.data, config.flip) == (data, data == "cifar10")
    same = ("in_channels", "image_size")
    assert [getattr(config.model, name) for name in same] == [getattr(published.model, name) for name in same]


def test_fast_usual_and_best_differ_in_what_they_cost():
    for data in ("mnist", "fashion-mnist"):
        fast, usual, best = (PRESETS[name].config for name in (f"{data}-fast", data, f"{data}-best"))
        assert fast.steps < usual.steps and usual.model.latent.hidden < best.model.latent.hidden
        assert best.steps > usual.steps or best.model.channels > usual.model.channels
        assert fast.data == usual.data == best.data == data


def test_the_best_clothes_are_of_these_settings():
    """Those that the figures of the preset were obtained with."""
    config = PRESETS["fashion-mnist-best"].config
    model, latent = config.model, config.model.latent
    assert (config.steps, config.batch_size, config.lr, config.ema) == (14_000, 32, 5e-3, 0.998)
    assert (model.T, model.L, model.channels) == (4, 512, (32, 64, 256, 512))
    assert (latent.rate, latent.groups, latent.hidden, latent.clusters, latent.guidance) == (0, 16, 1024, 100, 0.25)
    assert (latent.prior.epochs, latent.prior.batch_size) == (6, 256)
    assert (config.tuning.weight, config.tuning.stage.steps, config.tuning.stage.lr) == (0.004, 3000, 1e-3)


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_say_what_they_are_and_name_the_protocol_of_a_score(name):
    preset = PRESETS[name]
    assert preset.about.endswith(".")
    assert "FAD" not in preset.gives or "strict" in preset.gives or "fsvae2022" in preset.gives


def test_parts_are_chosen_by_name():
    config = FSVAEConfig(latent="bernoulli", readout="mean", neuron="atan")
    assert config == FSVAEConfig(latent=LATENTS["bernoulli"], readout=READOUTS["mean"], neuron=TCJA_LIF)
    for name in ("latent", "readout", "neuron"):
        with pytest.raises(ValueError, match=f"unknown {name} 'nope': choose one of"):
            FSVAEConfig(**{name: "nope"})
        with pytest.raises(ValueError, match=r"expected a \w+, or one of the names \["):
            FSVAEConfig(**{name: 1.5})


@pytest.mark.parametrize("latent", ["bernoulli", "escape"])
def test_a_code_of_spikes_is_refused_to_neurons_that_have_none(latent):
    name = type(LATENTS[latent]).__name__
    with pytest.raises(ValueError, match=f"the latent {name} is of spikes, found the neuron LeakyReLU"):
        FSVAEConfig(latent=latent, neuron="leaky-relu")


@pytest.mark.parametrize("latent", ["poisson", "gaussian"])
def test_other_codes_are_taken_by_neurons_without_spikes(latent):
    images = torch.rand(2, 1, 8, 8) * 2 - 1
    model = FSVAE(FSVAEConfig(image_size=8, channels=(2, 3), T=2, L=4, latent=latent, neuron="leaky-relu"))
    assert energy(model, images).reconstructed.pj > 0 and model.sample(2).shape == images.shape


def test_the_attention_sits_where_layers_and_presets_have_it():
    assert TCJAConfig().placement == inspect.signature(SpikingLayer).parameters["placement"].default
    assert {preset.config.model.tcja.placement for preset in PRESETS.values()} == {"spikes"}


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
        ({"L": 0}, "L must be a whole number >= 1, found 0"),
        ({"latent": 32}, r"the number of latent neurons is L: FSVAEConfig\(L=32\)"),
        ({"in_channels": 2}, r"in_channels must be 1 \(grey\) or 3 \(RGB\), found 2"),
        ({"in_channels": 4, "input": "frames"}, r"in_channels must be 1, 2 \(events\) or 3, found 4"),
        ({"input": "video"}, r"input must be one of \['image', 'frames'\], found 'video'"),
        ({"image_size": 28}, "4 encoder blocks make a model for 32x32 images, found image_size=28"),
        ({"image_size": 64}, r"64 pixels: 5"),
        ({"channels": ()}, "channels must name at least one block"),
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
    with pytest.raises(ValueError, match="batch_size must be >= 1, found 0"):
        TrainConfig(batch_size=0)
    with pytest.raises(ValueError, match="lr must be > 0"):
        TrainConfig(lr=-1.0)
