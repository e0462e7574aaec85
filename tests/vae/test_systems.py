"""The systems of the field by name: what each is made of, and that it trains."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from fsvae_tcja.core import FSVAE_LIF, LeakyReLU
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.vae import FSVAE, READOUTS, Bernoulli, FSVAEConfig, Gaussian, Poisson, TCJAConfig, load, save
from fsvae_tcja.vae.codes import codes_of
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.sample import noise_of
from fsvae_tcja.vae.systems import MODELS, SYSTEMS
from fsvae_tcja.vae.train import TrainConfig
from tests.conftest import long

PREFIX = Bernoulli(sampling="prefix")
PARTS = {  # latent, read-out, neuron, attention for 32x32
    "fsvae2022": (PREFIX, "membrane", FSVAE_LIF, TCJAConfig()),
    "fsvae2022-kld": (Bernoulli(sampling="prefix", distance="kld"), "membrane", FSVAE_LIF, TCJAConfig()),
    "tcja-fsvae": (PREFIX, "membrane", FSVAE_LIF, TCJAConfig(encoder=(2, 3), decoder=(2, 3))),
    "tcja-readout": (PREFIX, "tcja", FSVAE_LIF, TCJAConfig()),
    "taid": (PREFIX, "taid", FSVAE_LIF, TCJAConfig()),
    "esvae": (Poisson(1e-3), "membrane", FSVAE_LIF, TCJAConfig()),
    "ann-vae": (Gaussian(1 / 240), "membrane", LeakyReLU(0.01), TCJAConfig()),
}


def test_every_system_is_a_preset_for_every_data_set():
    assert SYSTEMS.keys() == PARTS.keys()
    for system in SYSTEMS:
        for data, images in MODELS.items():
            preset = PRESETS[f"{system}-{data}"]
            model = preset.config.model
            assert preset.config.data == data and preset.group == f"{system}-DATA"
            assert (model.in_channels, model.image_size, model.channels) == (
                images.in_channels,
                images.image_size,
                images.channels,
            )


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_system_is_made_of(system):
    latent, readout, neuron, tcja = PARTS[system]
    model = PRESETS[f"{system}-mnist"].config.model
    assert (model.latent, model.readout, model.neuron, model.tcja) == (latent, READOUTS[readout], neuron, tcja)
    steps = 1 if system == "ann-vae" else 16
    assert steps == model.T
    assert PRESETS["tcja-fsvae-celeba"].config.model.tcja == TCJAConfig(encoder=(3, 4), decoder=(3, 4))


def test_recipes_that_differ_from_fsvae_2022():
    esvae = {data: PRESETS[f"esvae-{data}"].config for data in MODELS}
    assert [(c.epochs, c.batch_size, c.model.L) for c in esvae.values()] == [
        (300, 256, 32),
        (300, 256, 32),
        (300, 256, 128),
        (300, 64, 128),
    ]
    rates = [c.lr for c in esvae.values()]
    assert rates == pytest.approx([3e-3 * 256 / 250, 3e-3 * 256 / 250, 6e-4 * 256 / 250, 1e-3 * 64 / 250])
    assert PRESETS["ann-vae-cifar10"].config.model.latent == Gaussian(1 / 200)
    assert PRESETS["ann-vae-mnist"].config.weight_decay == 1e-2


IN_LONG = "fsvae2022"  # the others are made of it


@pytest.mark.parametrize("system", [pytest.param(name, marks=long) if name == IN_LONG else name for name in SYSTEMS])
def test_a_system_learns_saves_and_draws(system, tmp_path):
    """Small, a few steps; image i depends on (seed, i) alone."""
    model = PRESETS[f"{system}-mnist"].config.model
    latent = Bernoulli(3, "prefix", model.latent.distance) if isinstance(model.latent, Bernoulli) else model.latent
    small = FSVAEConfig(
        T=min(model.T, 4),
        L=6,
        channels=(3, 4, 5, 6),
        latent=latent,
        readout=model.readout,
        neuron=model.neuron,
        tcja=model.tcja,
    )
    torch.manual_seed(0)
    net = FSVAE(small)
    images = torch.rand(16, 1, 32, 32) * 0.2 - 0.9
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    seen = []
    for _ in range(30):
        losses = net.losses(images, net(images), progress=0.5)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        seen.append(losses["mse"].item())
    assert seen[-1] < seen[0] / 2
    save(net, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    drawn = again.sample(5, seed=3)
    assert drawn.abs().max() <= 1 and torch.equal(drawn[:2], again.sample(2, seed=3, batch_size=1))


def test_the_taid_gate_is_a_convolution_over_the_steps():
    T, C = 7, 3
    readout = READOUTS["taid"].build(T, 4, C).double()
    assert sum(p.numel() for p in readout.attention.parameters()) == T * T
    spikes = (torch.rand(T, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3).double()
    y = torch.stack([readout.conv(x) for x in spikes])
    weight = readout.attention.cla.weight.squeeze(-1)  # [T, T]
    gate = torch.sigmoid(torch.einsum("ts,snc->tnc", weight, y.mean((3, 4))))
    torch.testing.assert_close(readout(lambda x: x, spikes), torch.tanh((gate[..., None, None] * y).sum(0)))


def ann(channels, L):
    """The published baseline, written out in ordinary layers: encoder to mu and log sigma^2, decoder."""
    down, up = [], []
    for a, b in pairwise((1, *channels)):
        down += [nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.LeakyReLU()]
    widths = (*reversed(channels), channels[0])
    for a, b in pairwise(widths):
        up += [nn.ConvTranspose2d(a, b, 3, 2, 1, 1), nn.BatchNorm2d(b), nn.LeakyReLU()]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(4 * channels[-1], 2 * L))
    start = nn.Sequential(nn.Linear(L, 4 * channels[-1]), nn.Unflatten(1, (channels[-1], 2, 2)))
    return encoder, nn.Sequential(start, *up, nn.ConvTranspose2d(channels[0], 1, 3, 1, 1), nn.Tanh())


@pytest.mark.parametrize("training", [True, False])
def test_the_ann_vae_is_the_ordinary_network(training):
    torch.manual_seed(0)
    channels, L = (3, 4, 5, 6), 4
    model = FSVAE(FSVAEConfig(T=1, L=L, channels=channels, latent="gaussian", neuron="leaky-relu")).train(training)
    parts = [part.train(training) for part in ann(channels, L)]
    for network, ours in zip(parts, (model.encoder, model.decoder), strict=True):
        theirs = list(network.parameters())
        mine = dict(ours.named_parameters())
        first = [p for name, p in mine.items() if name.startswith("from_latent")]
        rest = [p for name, p in mine.items() if not name.startswith("from_latent")]
        for a, b in zip(theirs, first + rest, strict=True):
            a.data.copy_(b.data.view_as(a))
    images, noise = torch.rand(6, 1, 32, 32) * 2 - 1, torch.randn(1, 6, L)
    mu, log_var = parts[0](images).chunk(2, 1)
    out = model(images, noise=noise)
    torch.testing.assert_close(out.recon, parts[1](mu + (log_var / 2).exp() * noise[0]), rtol=1e-4, atol=1e-5)
    kl = kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(0, 1)).sum(1).mean()
    losses = model.losses(images, out)
    torch.testing.assert_close(losses["kl"], kl, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses["loss"], losses["mse"] + losses["kl"] / 240)


def test_gaussian_codes_of_a_data_set_are_those_of_the_encoder():
    model = FSVAE(FSVAEConfig(T=1, L=3, channels=(2, 2, 2, 2), latent="gaussian", neuron="leaky-relu")).eval()
    pixels = torch.randint(0, 256, (5, 1, 32, 32), dtype=torch.uint8)
    codes = codes_of(model, MemoryImages("toy", "test", pixels, torch.zeros(5).long(), 1), seed=2)
    z = model.encode(to_float(pixels), noise=noise_of(model, 2, 0, 5))
    assert (z < 0).any()
    torch.testing.assert_close(codes.read(range(5))[0], z.transpose(0, 1))


def test_what_does_not_go_with_a_gaussian_latent():
    with pytest.raises(ValueError, match="the last stage draws codes of spikes, found the latent Gaussian"):
        TrainConfig(model=FSVAEConfig(latent="gaussian"), tuning=PRESETS["mnist"].config.tuning)
    latent = FSVAE(FSVAEConfig(T=1, L=3, channels=(2, 2, 2, 2), latent="gaussian", neuron="leaky-relu")).latent
    with pytest.raises(ValueError, match=r"noise must be floating point \[T, N, L\] = \[1, 2, 3\], found torch.int64"):
        latent.check_noise(torch.zeros(1, 2, 3, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="weight must be >= 0, found -1"):
        Gaussian(weight=-1)
