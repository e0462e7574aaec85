"""A code that is drawn by LIF neurons with escape noise, and the ELBO that it makes of the loss."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn.functional import mse_loss

from fsvae_tcja.core import FSVAE_LIF, TCJA_LIF, LeakyReLU, lif
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae import FSVAE, Escape, load, save
from fsvae_tcja.vae.codes import codes_of
from fsvae_tcja.vae.energy import energy
from fsvae_tcja.vae.latent.escape_code import draw, entropy
from fsvae_tcja.vae.noise import Streams
from fsvae_tcja.vae.recalibrate import recalibrate

from ..conftest import awake
from .test_escape import ESCAPE, MODEL, RUN, fit, images_of, toy

pytestmark = pytest.mark.usefixtures("without_curves")
TAU = 0.1
DRAWN = replace(ESCAPE, stochastic=TAU)
CONFIG = replace(MODEL, latent=DRAWN)
NEURONS = {
    "hard reset": FSVAE_LIF,
    "detached, gain 1/2": replace(TCJA_LIF, v_th=0.15),
    "soft": replace(FSVAE_LIF, hard_reset=False),
}
neurons = pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS.keys())


@pytest.fixture
def model():
    return awake(CONFIG)


def current_of(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2)) * 0.3 + 0.15


def noise_of(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def plainly(current, noise, neuron, tau):
    """z whose gradient is that of its probability, and that probability, [T, N, L]."""
    v, z, probability = 0.0, [], []
    for x, b in zip(current, noise, strict=True):
        u = neuron.decay * v + neuron.gain * x
        p = 1 / (1 + torch.exp(-(u - neuron.v_th) / tau))
        s = (b < p).to(p.dtype) + p - p.detach()
        r = s.detach() if neuron.detach_reset else s
        v = u * (1 - r) if neuron.hard_reset else u - neuron.v_th * r
        z.append(s)
        probability.append(p)
    return torch.stack(z), torch.stack(probability)


def nats(p):
    """Entropy of q(z | x) by probabilities [T, N, L], [N]."""
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).sum((0, 2))


@neurons
def test_spikes_entropy_and_gradient_are_those_of_the_equations(neuron):
    current, noise, upstream = current_of(5, 7, 6), noise_of(5, 7, 6), torch.randn(5, 7, 6)
    x, y = current.clone().requires_grad_(), current.double().requires_grad_()
    z, a = draw(x, noise, neuron, TAU)
    expected, p = plainly(y, noise.double(), neuron, TAU)
    assert z.dtype == torch.float32 and ((z == 0) | (z == 1)).all() and 0.1 < z.mean() < 0.9
    torch.testing.assert_close(z.double(), expected.detach().round(), rtol=0, atol=0)
    torch.testing.assert_close(torch.sigmoid(a).double(), p, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(entropy(a).double(), nats(p), rtol=1e-4, atol=1e-5)
    ((z * upstream).sum() + entropy(a).sum()).backward()
    ((expected * upstream).sum() + nats(p).sum()).backward()
    torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-3, atol=1e-4)


@neurons
def test_probabilities_of_all_codes_are_1_and_their_entropy_is_the_mean(neuron):
    """Noise of 0 fires, noise just below 1 does not: each code of 2 x 3 bits is drawn once."""
    codes = torch.tensor(list(product((0.0, 1.0), repeat=6))).view(64, 2, 3).transpose(0, 1)
    current = current_of(2, 1, 3).expand(2, 64, 3)
    z, a = draw(current, (1 - codes).clamp(max=1 - 2**-24), neuron, TAU)
    assert torch.equal(z, codes)
    log_q = -torch.nn.functional.softplus((1 - 2 * z) * a).sum((0, 2)).double()
    assert log_q.exp().sum().item() == pytest.approx(1, abs=1e-5)
    exact = -(log_q.exp() * log_q).sum().item()
    assert 1 < exact < 6 * 0.693
    assert (log_q.exp() * entropy(a)).sum().item() == pytest.approx(exact, rel=1e-4)


@neurons
def test_without_chance_it_is_the_lif_neuron(neuron):
    neuron = replace(neuron, strict=True)
    current = current_of(6, 20, 30)
    spikes, _ = lif(current, params=neuron, backend="reference")
    assert 0.05 < spikes.mean() < 0.95
    assert torch.equal(draw(current, torch.full_like(current, 0.5), neuron, 3.0)[0], spikes)
    z, a = draw(current, noise_of(6, 20, 30), neuron, 1e-9)
    assert torch.equal(z, spikes) and entropy(a).max() < 1e-3


def test_half_precision_draws_what_float32_draws():
    current, noise = current_of(5, 7, 6).bfloat16(), noise_of(5, 7, 6)
    with torch.autocast("cpu", torch.bfloat16):
        z, a = draw(current, noise, FSVAE_LIF, TAU)
    expected = draw(current.float(), noise, FSVAE_LIF, TAU)
    assert torch.equal(z, expected[0]) and torch.equal(a, expected[1])


# in the model


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain_loss(model, x, noise, weight):
    """MSE + weight (-log p(z) - H(q)), layer by layer."""
    h = x.expand(model.config.T, *x.shape)
    for block in model.encoder.blocks:
        h = block(h)
    last = model.encoder.to_latent
    h = h.flatten(2)
    current = last.norm(last.transform(h.flatten(0, 1))).unflatten(0, h.shape[:2])
    bits = noise[0, :, :24].view(len(x), 3, 8).transpose(0, 1)
    z, p = plainly(current, bits, MODEL.neuron, TAU)
    kl = (model.latent.joint.nll(z) - nats(p)).mean()
    return mse_loss(model.decoder(z), x) + weight * kl, kl


@pytest.mark.parametrize("steps", [0, 100, DRAWN.rise])
def test_every_gradient_is_that_of_the_elbo(steps):
    rate = 0.03
    model, x = awake(replace(MODEL, latent=replace(DRAWN, rate=rate))).train(), images_of(6)
    noise = model.latent.noise(Streams(4, 0, 6))
    model.latent.steps.fill_(steps)
    losses = model.losses(x, model(x, noise=noise))
    found = gradients(model, losses["loss"])
    weighted = gradients(model, plain_loss(model, x, noise, rate * min(1, steps / DRAWN.rise))[0])
    loss, kl = plain_loss(model, x, noise, 1.0)
    whole = gradients(model, loss)
    assert losses["rate"].item() == pytest.approx(kl.item(), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(losses["mse"].item() + rate * kl.item(), rel=1e-4)
    for name, gradient in found.items():
        if name.endswith("transform.bias"):  # a norm is behind it
            assert not gradient.any()
            continue
        expected = whole[name] if name.startswith("latent.joint.") else weighted[name]
        torch.testing.assert_close(gradient, expected, atol=2e-5, rtol=1e-2, msg=lambda text, n=name: f"{n}: {text}")
    assert all(found[f"encoder.{name}"].any() for name in ("to_latent.norm.weight", "blocks.0.transform.weight"))


def test_a_code_is_drawn_by_seed_and_number_of_the_image(model):
    codes = codes_of(model, toy(), seed=1).codes
    assert 0.05 < codes.float().mean() < 0.95
    assert torch.equal(codes_of(model, toy(), seed=1).codes, codes)
    other = codes_of(model, toy(), seed=2).codes
    assert 0 < (other != codes).float().mean() < 0.5
    some = model.encode(toy().images[8:16] / 127.5 - 1, noise=model.latent.noise(Streams(1, 8, 8)))
    assert torch.equal(some.transpose(0, 1).to(torch.uint8), codes[8:16])


def test_noise_of_one_half_gives_the_code_without_chance(model):
    plain = FSVAE(MODEL).eval()
    plain.load_state_dict(model.state_dict())  # tau is no weight
    x = images_of(9)
    found = model.encode(x, noise=torch.full((1, 9, 25), 0.5))
    assert torch.equal(found, plain.encode(x)) and 0.05 < found.mean() < 0.95
    assert not torch.equal(model.encode(x), found)


def test_recalibration_sees_drawn_codes_and_is_idempotent(model):
    for _ in range(2):
        recalibrate(model, toy(), 40)
        found = {name: t.clone() for name, t in model.state_dict().items()}
        recalibrate(model, toy(), 40)
        assert all(torch.equal(t, found[name]) for name, t in model.state_dict().items())
    x, noise = current_of(3, 16, 8), model.latent.noise(Streams(0, 0, 16))
    assert torch.equal(model.latent.calibrate(x, noise, torch.zeros(16)), model.latent.infer(x, noise)[0])


def test_the_energy_is_that_of_the_code_that_was_drawn(model):
    x = images_of(9)
    report = energy(model, x, seed=3)
    z = model.encode(x, noise=model.latent.noise(Streams(3, 0, 9)))
    rates = {layer.name: layer.rate for layer in report.reconstructing.layers}
    assert rates["to latent"] == pytest.approx(z.mean().item(), rel=1e-5)


def test_what_is_saved_is_the_same_model(model, tmp_path):
    save(model, tmp_path / "model.safetensors")
    again, x = load(tmp_path / "model.safetensors"), images_of(5)
    assert again.config == CONFIG
    noise = model.latent.noise(Streams(0, 0, 5))
    assert torch.equal(again(x, noise=noise).recon, model(x, noise=noise).recon)


def test_settings_of_earlier_versions_have_no_chance():
    plain = to_dict(ESCAPE)
    del plain["stochastic"]
    assert from_dict(Escape, plain) == ESCAPE and not ESCAPE.takes_current
    assert from_dict(Escape, to_dict(DRAWN)) == DRAWN


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_tau_is_checked(value):
    with pytest.raises(ValueError, match=f"stochastic must be >= 0, found {value}"):
        replace(ESCAPE, stochastic=value)


def test_other_neurons_than_lif_are_refused():
    with pytest.raises(ValueError, match="drawn by LIF neurons, found LeakyReLU; set stochastic to 0"):
        CONFIG.latent.build(CONFIG.T, CONFIG.L, LeakyReLU())


# training


def test_a_run_ends_in_the_same_weights_interrupted_or_not_and_saving_memory(tmp_path):
    config = replace(RUN, model=CONFIG)
    outcome, task = fit(tmp_path / "whole", config)
    assert (outcome.step, outcome.finished) == (17, True)
    fit(tmp_path / "parts", config, at=4)
    fit(tmp_path / "parts", config, resume=True, at=9)  # in the stage of the prior
    assert fit(tmp_path / "parts", config, resume=True)[0].finished
    for file in ("checkpoint.safetensors", "model.safetensors", "config.json"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    _, saving = fit(tmp_path / "saving", replace(config, save_memory=True))
    assert all(torch.equal(t, task.model.state_dict()[name]) for name, t in saving.model.state_dict().items())
    codes = codes_of(task.model, task.data, config.seed).codes
    assert not torch.equal(codes, codes_of(task.model, task.data, config.seed + 1).codes)
