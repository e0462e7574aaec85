from dataclasses import replace

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF
from fsvae_tcja.vae.latent import Bernoulli
from fsvae_tcja.vae.latent.bernoulli import SCHEDULED_FROM, Posterior, Prior, draw_prefix, draw_stream, pick, shift
from fsvae_tcja.vae.losses import kld, mmd
from fsvae_tcja.vae.noise import Generated, Streams

T, N, L, K = 9, 4, 6, 3


def awake(network):
    """Norms and statistics with which neurons fire and are silent."""
    torch.manual_seed(0)
    for layer in network.layers:
        layer.norm.weight.data.uniform_(0.8, 1.5)
        layer.norm.bias.data.normal_(0.15, 0.2)
        layer.norm.running_mean.normal_(0, 0.2)
        layer.norm.running_var.uniform_(0.05, 0.3)
    return network.eval()


@pytest.fixture
def prior():
    return awake(Prior(L, K, FSVAE_LIF))


@pytest.fixture
def posterior():
    return awake(Posterior(L, K, FSVAE_LIF))


@pytest.fixture
def choice():
    return torch.randint(K, (T, N, L), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def x():
    return (torch.rand(T, N, L, generator=torch.Generator().manual_seed(3)) < 0.4).float()


def count_steps(network):
    """Layer-steps: for each call of a latent layer's transform, how many time steps of the batch it did."""
    counted = []
    for layer in network.layers:
        layer.transform.register_forward_hook(lambda module, args, out: counted.append(args[0].shape[0] // N))
    return counted


def test_pick_takes_the_chosen_spike_and_sends_the_gradient_there():
    spikes = torch.randn(T, N, L, K, requires_grad=True)
    choice = torch.randint(K, (T, N, L))
    z = pick(spikes, choice)
    z.sum().backward()
    chosen = torch.nn.functional.one_hot(choice, K).float()
    assert torch.equal(z, (spikes * chosen).sum(-1))
    assert torch.equal(spikes.grad, chosen)


def test_a_uniform_pick_is_a_bernoulli_draw():
    """P(z = 1) is the mean over k."""
    spikes = torch.tensor([1.0, 0, 0, 1, 0]).expand(1, 20000, 1, 5)
    z = pick(spikes, torch.randint(5, (1, 20000, 1), generator=torch.Generator().manual_seed(0)))
    assert z.mean().item() == pytest.approx(0.4, abs=4 * (0.24 / 20000) ** 0.5)


def test_shift():
    z = torch.arange(6.0).view(3, 1, 2)
    assert shift(z).flatten().tolist() == [0, 0, 0, 1, 2, 3]


def test_stream_is_prefix_by_running_statistics(prior, posterior, x, choice):
    for network, seen in ((prior, None), (posterior, x)):
        with torch.no_grad():
            z = draw_stream(network, seen, choice)
            assert torch.equal(z, draw_prefix(network, seen, choice))
        assert 0.05 < z.mean() < 0.95, "some neurons must fire and some be silent"


def test_drawn_steps_are_the_network_s_own(prior, choice):
    """z is a fixed point: run over its shifted self, the network gives it back."""
    z = prior.sample(choice)
    assert torch.equal(pick(prior.predict(z), choice), z)


@pytest.mark.parametrize(("sampling", "steps"), [("stream", T), ("prefix", T * (T + 1) // 2)])
def test_sampling_costs(prior, choice, sampling, steps):
    counted = count_steps(prior)
    prior.sample(choice, sampling)
    assert sum(counted) == 3 * steps


@pytest.mark.parametrize("sampling", ["stream", "prefix"])
def test_prefix_updates_the_statistics_t_times_and_stream_once(posterior, x, choice, sampling):
    posterior.train().infer(x, choice, sampling)
    updates = {int(layer.norm.num_batches_tracked) for layer in posterior.layers}
    assert updates == {T if sampling == "prefix" else 1}


@pytest.mark.parametrize("sampling", ["stream", "prefix"])
def test_inference_feeds_the_drawn_spikes_back(posterior, x, choice, sampling):
    z, q = posterior.infer(x, choice, sampling)
    assert torch.equal(z, pick(q, choice))
    assert torch.equal(q, posterior(torch.cat([x, shift(z)], dim=-1)))


def test_one_step_sequence(posterior, x, choice):
    z, q = posterior.infer(x[:1], choice[:1], "stream")
    assert z.shape == (1, N, L)
    assert q.shape == (1, N, L, K)


def test_causality(posterior, x, choice):
    """q_t does not see x of later steps."""
    _, q = posterior.infer(x, choice, "stream")
    later = x.clone()
    later[5:] = 1 - later[5:]
    _, changed = posterior.infer(later, choice, "stream")
    assert torch.equal(q[:5], changed[:5])
    assert not torch.equal(q[5:], changed[5:])


@pytest.mark.parametrize("sampling", ["stream", "prefix"])
def test_scheduled_sampling_replaces_the_chosen_steps_by_the_prior_s_prediction(prior, x, sampling):
    where = torch.zeros(T, dtype=torch.bool)
    where[SCHEDULED_FROM] = where[SCHEDULED_FROM + 2] = True
    noise = torch.randn(T, N, L, generator=torch.Generator().manual_seed(4))
    past = prior.replace(x, where, noise, sampling)
    assert torch.equal(past[~where], x[~where])
    # By hand: the prediction for step t sees the steps before it, replaced or not.
    for t in where.nonzero().flatten().tolist():
        prediction = prior(shift(past))[t].mean(-1) + 1e-3 * noise[t]
        assert torch.equal(past[t], (prediction > 0.5).float())
    assert not torch.equal(past, x)


def test_scheduled_sampling_of_no_step_is_teacher_forcing(prior, x):
    nothing = prior.replace(x, torch.zeros(T, dtype=torch.bool), torch.randn(T, N, L), "stream")
    assert torch.equal(nothing, x)


def test_the_prior_sends_no_gradient_into_z(prior, x):
    z = x.clone().requires_grad_()
    prior.predict(z).sum().backward()
    assert z.grad is None
    assert all(p.grad is not None for p in prior.parameters())


# the latent as a whole


@pytest.fixture
def latent(x):
    module = Bernoulli(k=K).build(T, L, FSVAE_LIF)
    awake(module.posterior), awake(module.prior)
    return module


def test_noise_are_picks_of_k():
    latent = Bernoulli(k=K).build(T, L, FSVAE_LIF)
    for source in (Streams(3, 0, 50), Generated(50, torch.Generator().manual_seed(0))):
        noise = latent.noise(source)
        assert noise.shape == (T, 50, L) and noise.unique().tolist() == [0, 1, 2]


def test_sampling_draws_from_the_prior_whatever_training_does(latent, choice):
    expected = latent.prior.sample(choice, "prefix")
    assert torch.equal(latent.sample(choice), expected)


@pytest.mark.parametrize(("name", "distance", "weight"), [("mmd", mmd, 1.0), ("kld", kld, 1e-4)])
def test_the_divergence_compares_posterior_and_prior(x, choice, name, distance, weight):
    latent = Bernoulli(k=K, distance=name).build(T, L, FSVAE_LIF)
    awake(latent.posterior), awake(latent.prior)
    z, q = latent.infer(x, choice)
    found = latent.divergence(z, q)
    assert found.keys() == latent.terms.keys() == {name}
    assert latent.terms[name].weight == weight
    assert torch.equal(found[name], distance(q, latent.prior.predict(z)))


def values(latent, z, q, *progress):
    """The divergence for each of 40 seeds, in training mode."""
    torch.manual_seed(0)
    found = []
    for seed in range(40):
        latent.train()
        generator = torch.Generator().manual_seed(seed)
        found.append([latent.divergence(z, q, progress=p, generator=generator)["mmd"].item() for p in progress])
    return torch.tensor(found)


def test_scheduled_sampling_is_asked_for_and_rises_with_the_progress(latent, x, choice):
    z, q = latent.infer(x, choice)
    for layer in latent.prior.layers:
        layer.norm.momentum = 0.0  # every call the same
    plain, start, end = values(latent, z, q, None, 0.0, 1.0).T
    assert (plain == plain[0]).all()
    assert 0 < (start != plain).sum() < (end != plain).sum()
    never = Bernoulli(k=K, scheduled_sampling=False).build(T, L, FSVAE_LIF)
    never.load_state_dict(latent.state_dict())
    for layer in never.prior.layers:
        layer.norm.momentum = 0.0
    assert (values(never, z, q, 1.0)[:, 0] == plain).all()


def test_scheduled_sampling_is_for_training_only(latent, x, choice):
    z, q = latent.infer(x, choice)
    latent.eval()
    plain = latent.divergence(z, q)["mmd"]
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert all(torch.equal(latent.divergence(z, q, progress=1.0, generator=generator)["mmd"], plain) for _ in range(9))
    assert torch.equal(generator.get_state(), before)


def test_the_probability_of_scheduled_sampling(latent, monkeypatch, x):
    """From 0.1 to 0.3, for steps from the fifth on."""
    replaced = []
    monkeypatch.setattr(latent.prior, "replace", lambda z, where, *_: replaced.append(where) or z)
    q = torch.zeros(T, N, L, K)
    monkeypatch.setattr(latent.prior, "predict", lambda z: q)  # which takes its time
    for progress, expected in ((0.0, 0.1), (0.5, 0.2), (1.0, 0.3)):
        replaced.clear()
        generator = torch.Generator().manual_seed(0)
        for _ in range(1000):
            latent.train().divergence(x, q, progress=progress, generator=generator)
        where = torch.stack(replaced)
        assert not where[:, :SCHEDULED_FROM].any()
        n = 1000 * (T - SCHEDULED_FROM)
        assert where.sum() / n == pytest.approx(expected, abs=4 * (expected / n) ** 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 0}, "k must be a whole number >= 1, found 0"),
        ({"k": 2.5}, "k must be a whole number >= 1, found 2.5"),
        ({"sampling": "fast"}, "sampling must be one of"),
        ({"distance": "l2"}, r"distance must be one of \['mmd', 'kld'\], found 'l2'"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        replace(Bernoulli(), **values)
