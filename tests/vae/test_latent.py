import pytest
import torch

from fsvae_tcja.vae.latent import SCHEDULED_FROM, Posterior, Prior, draw_prefix, draw_stream, pick, shift

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
    return awake(Prior(L, K))


@pytest.fixture
def posterior():
    return awake(Posterior(L, K))


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
def test_scheduled_sampling_replaces_the_tossed_steps_by_the_prior_s_prediction(prior, x, sampling):
    coins = torch.zeros(T, dtype=torch.bool)
    coins[SCHEDULED_FROM] = coins[SCHEDULED_FROM + 2] = True
    noise = torch.randn(T, N, L, generator=torch.Generator().manual_seed(4))
    fed = prior.schedule(x, coins, noise, sampling)
    kept = ~coins
    assert torch.equal(fed[kept], x[kept])
    # By hand: the prediction for step t sees the steps fed before it.
    for t in coins.nonzero().flatten().tolist():
        prediction = prior(shift(fed))[t].mean(-1) + 1e-3 * noise[t]
        assert torch.equal(fed[t], (prediction > 0.5).float())
    assert not torch.equal(fed, x)


def test_scheduled_sampling_without_coins_is_teacher_forcing(prior, x):
    nothing = prior.schedule(x, torch.zeros(T, dtype=torch.bool), torch.randn(T, N, L), "stream")
    assert torch.equal(nothing, x)


def test_the_prior_sends_no_gradient_into_z(prior, x):
    z = x.clone().requires_grad_()
    prior.predict(z).sum().backward()
    assert z.grad is None
    assert all(p.grad is not None for p in prior.parameters())
