"""The latent of ESVAE, and the distance of its rates, by their definitions."""

import pytest
import torch

from fsvae_tcja.vae import FSVAE, FSVAEConfig, Poisson
from fsvae_tcja.vae.losses import mmd_rbf
from fsvae_tcja.vae.noise import Streams

T, N, L = 5, 6, 4
MODEL = FSVAEConfig(T=T, L=L, latent="poisson", channels=(3, 4, 5, 6))


def latent():
    torch.manual_seed(0)
    return FSVAE(MODEL).latent


def noise(seed=0, n=N):
    return latent().noise(Streams(seed, 0, n))


def test_spikes_are_drawn_by_the_mean_of_the_encoders_and_independently():
    x = (torch.rand(T, N, L, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    given = noise()
    z, (rate, n) = latent().infer(x, given)
    assert torch.equal(rate, x.sum(0) / T) and torch.equal(n, given[0])
    for t in range(T):
        assert torch.equal(z[t], (x.mean(0) > given[t + 1]).float())
    always, never = torch.ones(T, N, L), torch.zeros(T, N, L)
    assert torch.equal(latent().infer(always, given)[0], always)
    assert torch.equal(latent().infer(never, given)[0], never)


def test_the_gradient_of_a_spike_is_one_where_rate_and_noise_are_near():
    x = torch.full((T, N, L), 0.7, requires_grad=True)
    given = noise()
    latent().infer(x, given)[0].sum().backward()
    near = ((0.7 - given[1:]).abs() < 0.5).float().sum(0)  # [N, L]
    assert 0 < near.sum() < T * N * L
    torch.testing.assert_close(x.grad, (near / T).expand(T, N, L))


def test_drawn_codes_fire_as_often_as_the_prior_says():
    one = latent()
    given = noise(n=4000)
    rates = torch.sigmoid(10 * (given[0] @ one.prior.linear.weight.T + one.prior.linear.bias))
    z = one.sample(given)
    assert set(z.unique().tolist()) == {0.0, 1.0}
    error = (z.mean(0) - rates).mean(0).abs()  # of T * 4000 draws: deviation below .5 / sqrt(20000) = .0035
    assert error.max() < 0.02
    assert given[0].std() == pytest.approx(1, abs=0.03) and given[0].mean() == pytest.approx(0, abs=0.03)


def naive_mmd(x, y):
    rows = [*x, *y]
    pairs = torch.tensor([[float(((a - b) ** 2).sum()) for b in rows] for a in rows])
    h = pairs.sum() / (len(rows) ** 2 - len(rows)) / 4
    kernel = sum(torch.exp(-pairs / (h * 2**i)) for i in range(5))
    n = len(x)
    return (kernel[:n, :n] + kernel[n:, n:] - kernel[:n, n:] - kernel[n:, :n]).mean()


def test_mmd_of_two_samples():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(7, 3, generator=generator), 0.5 * torch.rand(7, 3, generator=generator)
    torch.testing.assert_close(mmd_rbf(x, y), naive_mmd(x, y), rtol=1e-4, atol=1e-6)
    assert mmd_rbf(x, x).item() == pytest.approx(0, abs=1e-6)
    assert mmd_rbf(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0  # no distance at all: a finite number


def test_the_loss_teaches_the_prior_and_the_encoder():
    torch.manual_seed(0)
    model = FSVAE(MODEL)
    images = torch.rand(16, 1, 32, 32) * 2 - 1
    losses = model.losses(images, model(images))
    assert losses.keys() == {"loss", "mse", "mmd"}
    torch.testing.assert_close(losses["loss"], losses["mse"] + 1e-3 * losses["mmd"])
    losses["mmd"].backward()
    assert model.latent.prior.linear.weight.grad.abs().max() > 0
    assert model.encoder.blocks[0].transform.weight.grad.abs().max() > 0


def test_wrong_noise_and_weight():
    with pytest.raises(ValueError, match=r"noise must be floating point \[T \+ 1, N, L\] = \[6, 6, 4\], found"):
        latent().check_noise(torch.zeros(T, N, L), N)
    with pytest.raises(ValueError, match="weight must be >= 0, found -1"):
        Poisson(weight=-1)
