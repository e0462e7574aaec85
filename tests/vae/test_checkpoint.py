"""What is saved is enough to build the same model again, whoever wrote it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fsvae_tcja.core import LIF, TCJA_LIF
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae import FSVAE, LATENTS, READOUTS, Bernoulli, Latent, LatentModule, Readout, Term, load, save
from fsvae_tcja.vae.config import FSVAEConfig, TCJAConfig
from fsvae_tcja.vae.readout import SumThenConvolve, TCJAReadout, convolution
from fsvae_tcja.vae.train import TrainConfig

from .conftest import SMALL, K, awake

GOLDEN = Path(__file__).parents[1] / "golden"
OLD = GOLDEN / "fsvae-0.1.0.safetensors"

# files of version 0.1.0


def test_a_checkpoint_of_version_0_1_0_gives_the_same_numbers():
    model = load(OLD)
    arrays = {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / "fsvae-0.1.0.npz").items()}
    with torch.no_grad():
        out = model(arrays["images"], noise=arrays["choice"])
        p = model.latent.prior.predict(out.z)
    for name, spikes in {"z": out.z, "q": out.q, "p": p}.items():
        assert torch.equal(spikes.bool(), arrays[name]), name
        assert 0.05 < spikes.mean() < 0.95
    torch.testing.assert_close(out.recon, arrays["recon"], atol=1e-6, rtol=0)
    torch.testing.assert_close(model.sample(4, seed=7), arrays["drawn"], atol=1e-6, rtol=0)


def test_configurations_of_version_0_1_0_keep_their_meaning():
    metadata = checkpoint.read_metadata(OLD)
    expected = FSVAEConfig(
        T=5,
        L=6,
        latent=Bernoulli(k=3, sampling="prefix", distance="kld", scheduled_sampling=False),
        channels=(3, 4, 5, 6),
        tcja=TCJAConfig((1, 3), (0, 2), placement="current"),
        readout="tcja",
        neuron="fsvae2022",
    )
    assert load(OLD).config == expected
    training = from_dict(TrainConfig, metadata["training"])
    assert training.model == expected
    assert (training.epochs, training.batch_size, training.data) == (1, 750, "digits")
    # a bare model did not say how it was trained
    bare = from_dict(FSVAEConfig, metadata["config"])
    assert bare == replace(expected, latent=Bernoulli(k=3, sampling="prefix"))
    for config, cls in ((expected, FSVAEConfig), (training, TrainConfig)):
        assert from_dict(cls, json.loads(json.dumps(to_dict(config)))) == config


# what the configuration does not build


def swap_neuron(model):
    model.encoder.blocks[1].neuron = LIF(TCJA_LIF)


def swap_readout(model):
    model.decoder.readout = TCJAReadout().build(SMALL.T, SMALL.channels[0], 1)


def swap_layer(model):
    model.latent.prior.layers[2].transform = nn.Linear(24, 18, bias=False)


def swap_latent(model):
    model.latent = Bernoulli(K, distance="kld").build(SMALL.T, SMALL.L, SMALL.neuron)


def add_layer(model):
    model.decoder.extra = nn.Linear(2, 2)


def change_configuration(model):
    model.config = replace(model.config, tcja=TCJAConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_neuron, r"encoder\.blocks\.1\.neuron is LIF\(LIFParams\(decay=0\.5.*it says LIF\(LIFParams\(decay=0\.25"),
        (swap_readout, r"decoder\.readout is GateThenSum, it says SumThenConvolve"),
        (swap_layer, r"latent\.prior\.layers\.2\.transform is Linear\(in_features=24, out_features=18, bias=False\)"),
        (swap_latent, r"latent is BernoulliLatent"),
        (add_layer, r"decoder\.extra is Linear\(.*\), it says nothing\."),
        (change_configuration, r"decoder\.blocks\.0\.attention is TCJA, it says nothing\."),
    ],
)
def test_a_model_that_its_configuration_does_not_build_is_not_saved(tmp_path, change, message):
    model = FSVAE(SMALL)
    save(model, tmp_path / "before.safetensors")
    change(model)
    with pytest.raises(ValueError, match=message) as error:
        save(model, tmp_path / "after.safetensors")
    assert "would be lost; build the model with it" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["before.safetensors"]


def test_what_is_not_part_of_the_model_may_change(tmp_path):
    """The backend, recomputation in the backward pass, compilation: how it runs, not what it is."""
    model = FSVAE(SMALL).train()
    for layer in model.modules():
        if hasattr(layer, "checkpoint"):
            layer.checkpoint = True
        if hasattr(layer, "backend"):
            layer.backend = "reference"
    model.encoder.compile()
    save(model, tmp_path / "m.safetensors")


# parts of one's own


@dataclass(frozen=True)
class Rate(Latent):
    """Not autoregressive: z are the encoder's spikes; the prior is one firing rate for each latent neuron."""

    strength: float = 0.5

    def build(self, T, L, neuron):
        return RateModule(self, T, L, {"rates": Term("squared difference of rates", self.strength)})


class RateModule(LatentModule):
    def __init__(self, params, T, L, terms):
        super().__init__(params, T, L, terms)
        self.rate = nn.Parameter(torch.full((L,), 0.3))

    def noise(self, source):
        return source.uniform(self.T, self.L)

    def infer(self, x, noise):
        return x, None

    def divergence(self, z, q, *, progress=None, generator=None):
        return {"rates": (z.mean((0, 1)) - self.rate).square().mean()}

    def sample(self, noise):
        return (noise < self.rate.detach()).float()


@dataclass(frozen=True)
class LastStep(Readout):
    """The image is what the last step says."""

    def build(self, T, channels, in_channels):
        return SumThenConvolve(torch.eye(T)[-1], convolution(channels, in_channels))


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(LATENTS, "rate", Rate())
    monkeypatch.setitem(READOUTS, "last", LastStep())


def test_an_own_latent_and_readout_train_and_come_back(own, tmp_path, images):
    model = awake(FSVAEConfig(T=7, L=6, latent=Rate(2.0), readout="last", channels=(3, 4, 5, 6))).train()
    parts = model.losses(images, model(images), progress=0.5)
    assert parts["loss"].item() == pytest.approx((parts["mse"] + 2.0 * parts["rates"]).item())
    assert model.units["rates"] == "squared difference of rates"
    parts["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.config == model.config
    drawn = again.sample(20, seed=3)
    assert torch.equal(drawn, model.sample(20, seed=3)) and drawn.std() > 0.01
    assert torch.equal(again.sample(2, seed=3, batch_size=1), drawn[:2])
    with pytest.raises(ValueError, match=r"noise must have the 5 images on axis 1, found \[7, 4, 6\]"):
        again(images, noise=torch.rand(7, 4, 6))


def test_an_own_latent_with_classes_is_told_the_labels(own):
    model = awake(FSVAEConfig(T=7, L=6, latent=Rate(), readout="last", channels=(3, 4, 5, 6)))
    model.latent.classes = 2
    model.latent.sample = lambda noise, labels: labels[:, None].expand(7, -1, 6).float()
    labels = torch.tensor([0, 1, 1])
    drawn, z = model.sample(3, labels=labels), labels[:, None].expand(7, -1, 6).float()
    torch.testing.assert_close(drawn, model.decode(z), atol=1e-5, rtol=0)
    assert not torch.equal(drawn[0], drawn[1])


def test_a_part_that_is_in_no_table_is_named_on_loading(own, tmp_path, monkeypatch):
    save(FSVAE(replace(SMALL, latent=Rate())), tmp_path / "m.safetensors")
    monkeypatch.delitem(LATENTS, "rate")
    with pytest.raises(
        ValueError, match=r"unknown latent of type 'Rate': known are \['Bernoulli', .*\]; import the module"
    ):
        load(tmp_path / "m.safetensors")
