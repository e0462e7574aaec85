"""The authors' small FSVAE, imported, against what their program computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fsvae_tcja.vae import FSVAE
from fsvae_tcja.vae.interop import import_fsvae2022, our_name
from fsvae_tcja.vae.losses import kld, mmd


class Golden:
    """The arrays as tensors, and the imported model."""

    def __init__(self, folder):
        self.arrays = np.load(folder / "fsvae.npz")
        self.checkpoint = folder / "fsvae_authors_state_dict.pt"

    def __getitem__(self, key):
        return torch.from_numpy(self.arrays[key])

    def model(self, sampling):
        published = import_fsvae2022(self.checkpoint)
        config = replace(published.config, latent=replace(published.config.latent, sampling=sampling))
        model = FSVAE(config).eval()
        model.load_state_dict(published.state_dict())
        return model


@pytest.fixture(scope="module")
def published(golden):
    return Golden(golden)


def test_sizes_come_from_the_file(published):
    c = published.model("prefix").config
    assert (c.T, c.L, c.latent.k, c.in_channels, c.image_size) == (8, 16, 4, 1, 32)
    assert c.channels == (32, 64, 128, 256)


@pytest.mark.parametrize("sampling", ["prefix", "stream"])
def test_evaluation(published, sampling):
    model = published.model(sampling)
    images = published["images"]
    with torch.no_grad():
        latent = model.encoder(images)
        out = model(images, noise=published["eval_choice"])
        p = model.latent.prior.predict(out.z)
        mse = model.losses(images, out)["mse"]
    for name, spikes in {"latent": latent, "q": out.q, "p": p, "z": out.z}.items():
        assert torch.equal(spikes, published[f"eval_{name}"]), name
        assert 0.01 < spikes.mean() < 0.99, f"{name} must hold spikes and silence"
    torch.testing.assert_close(out.recon, published["eval_recon"], atol=1e-5, rtol=0)
    torch.testing.assert_close(mmd(out.q, p), published["eval_mmd"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(kld(out.q, p), published["eval_kld"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(mse, published["eval_mse"], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("sampling", ["prefix", "stream"])
def test_prior_sampling(published, sampling):
    model = published.model(sampling)
    with torch.no_grad():
        z = model.latent.prior.sample(published["sample_choice"], sampling)
        images = model.decode(z)
    assert torch.equal(z, published["sample_z"])
    torch.testing.assert_close(images, published["sample_images"], atol=1e-5, rtol=0)
    n = z.shape[1]
    torch.testing.assert_close(model.sample(n, noise=published["sample_choice"]), images, atol=1e-6, rtol=0)


def test_training_by_prefixes(published):
    model = published.model("prefix").train()
    images = published["images"]
    out = model(images, noise=published["train_choice"])
    parts = model.losses(images, out)
    parts["loss"].backward()

    for name, spikes in {"q": out.q, "z": out.z}.items():
        assert torch.equal(spikes, published[f"train_{name}"]), name
    torch.testing.assert_close(out.recon, published["train_recon"], atol=1e-4, rtol=0)
    torch.testing.assert_close(parts["mse"], published["train_mse"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(parts["mmd"], published["train_mmd"], atol=1e-6, rtol=1e-5)

    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    last = len(model.config.channels) - 1
    compared = 0
    for key in published.arrays.files:
        kind, _, name = key.partition("/")
        ours = our_name(name, last)
        if kind == "gradnorm":
            # A bias in front of a batch norm has gradient 0: what either program gives there is rounding, ~1e-7.
            torch.testing.assert_close(parameters[ours].grad.norm(), published[key], rtol=1e-3, atol=1e-6)
        elif kind == "after":
            torch.testing.assert_close(buffers[ours], published[key], rtol=1e-5, atol=1e-6)
        compared += kind in ("gradnorm", "after")
    assert compared == len(parameters) + sum("running" in name for name in buffers)
