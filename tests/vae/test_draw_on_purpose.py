"""Drawing at a temperature, completing codes, the way between two codes."""

from dataclasses import replace

import pytest
import torch

from fsvae_tcja.vae import FSVAE, Bernoulli, Escape, FSVAEConfig
from fsvae_tcja.vae.complete import complete
from fsvae_tcja.vae.interpolate import interpolate
from fsvae_tcja.vae.sample import draw_codes

from .conftest import awake

T, L, GROUPS, CLASSES = 3, 8, 4, 3
MODEL = FSVAEConfig(
    T=T,
    L=L,
    latent=Escape(groups=GROUPS, hidden=16, joint_groups=2, joint_hidden=8, classes=CLASSES),
    neuron="centred",
    channels=(3, 4, 5, 6),
)


@pytest.fixture(scope="module")
def model():
    made = awake(MODEL).eval()
    made.latent.start_stage(torch.zeros(4, T, L, dtype=torch.uint8), torch.arange(4) % CLASSES)
    return made


def test_temperature_scales_the_log_odds_of_independent_bits():
    """A prior whose hidden neurons reach nothing draws bit i with probability sigmoid(a_i / temperature)."""
    made = awake(replace(MODEL, latent=replace(MODEL.latent, classes=0))).eval()
    prior = made.latent.prior
    with torch.no_grad():
        for weight in (prior.V, prior.D):
            weight.zero_()
        prior.a.copy_(torch.linspace(-2, 2, prior.a.numel()).view_as(prior.a))
    n = 20_000
    noise = torch.rand(1, n, T * L, generator=torch.Generator().manual_seed(0))
    for temperature in (0.5, 1.0, 3.0):
        z = made.latent.sample(made.latent.tempered(noise, temperature))
        expected = torch.sigmoid(prior.a / temperature).reshape(T, L)
        assert (z.mean(1) - expected).abs().max() < 5 * 0.5 / n**0.5  # five deviations of a mean of n bits


def test_temperature_1_draws_what_no_temperature_draws(model):
    assert torch.equal(model.sample(5, 3, temperature=1.0), model.sample(5, 3))
    assert not torch.equal(model.sample(5, 3, temperature=0.3), model.sample(5, 3))


def test_the_class_that_is_drawn_does_not_depend_on_the_temperature(model):
    noise = torch.rand(1, 50, T * L + 1, generator=torch.Generator().manual_seed(0))
    kinds = model.latent.draw_kinds(noise)
    assert len(kinds.unique()) == CLASSES
    assert torch.equal(model.latent.draw_kinds(model.latent.tempered(noise, 0.2)), kinds)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_above_0(model, temperature):
    with pytest.raises(ValueError, match="temperature must be > 0"):
        model.sample(2, temperature=temperature)


def test_the_published_latent_has_one_temperature():
    made = awake(replace(MODEL, latent=Bernoulli(k=3)))
    with pytest.raises(ValueError, match=r"the latent Bernoulli draws at temperature 1 alone, found 0\.5"):
        made.sample(2, temperature=0.5)
    with pytest.raises(ValueError, match="the latent Bernoulli does not complete codes"):
        complete(made, torch.zeros(T, 1, L), 1, 1)


@pytest.mark.parametrize("given", range(T * GROUPS + 1))
def test_what_is_given_is_kept_and_the_rest_is_drawn(model, given):
    z = draw_codes(model, 16, seed=5)
    noise = torch.rand(1, 16, T * L + 1, generator=torch.Generator().manual_seed(1))
    flat, drawn = (codes.transpose(0, 1).flatten(1) for codes in (z, model.latent.complete(z, given, noise)))
    known = given * L // GROUPS
    assert torch.equal(drawn[:, :known], flat[:, :known])
    if given < T * GROUPS - 2:
        assert not torch.equal(drawn, flat)
    assert ((drawn == 0) | (drawn == 1)).all()


def test_a_whole_code_is_decoded_and_draws_belong_to_the_seed(model):
    z = draw_codes(model, 3, seed=5)
    whole = complete(model, z, T * GROUPS, 2)
    assert whole.shape == (3, 2, 1, 32, 32)
    torch.testing.assert_close(whole[:, 0], model.decode(z), rtol=0, atol=1e-5)
    assert torch.equal(whole[:, 0], whole[:, 1])
    assert torch.equal(complete(model, z, 4, 3, seed=9), complete(model, z, 4, 3, seed=9))
    assert not torch.equal(complete(model, z, 4, 3, seed=9), complete(model, z, 4, 3, seed=10))


def test_a_completion_does_not_depend_on_the_others():
    """One image alone is convolved in another order, which rounds otherwise."""
    mnist = FSVAE.from_pretrained("mnist")
    z = draw_codes(mnist, 3, seed=3)
    assert torch.equal(complete(mnist, z[:, :1], 8, 1, seed=1), complete(mnist, z, 8, 1, seed=1)[:1])


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_without_random_numbers_are_refused(model, seed):
    z = torch.zeros(T, 2, L)
    for draw in (lambda: complete(model, z, 1, 1, seed), lambda: draw_codes(model, 2, seed)):
        with pytest.raises(ValueError, match=rf"seed must be in 0\.\.2\^63 - 1, found {seed}"):
            draw()


@pytest.mark.parametrize(
    ("z", "given", "draws", "message"),
    [
        (torch.zeros(T, 2, L + 1), 1, 1, "z must be"),
        (torch.full((T, 2, L), 0.5), 1, 1, "z must be .* of 0 and 1"),
        (torch.zeros(T, 2, L), 13, 1, r"given must be in 0\.\.12, the micro-steps of a code; found 13"),
        (torch.zeros(T, 2, L), 1, 0, "draws must be >= 1, found 0"),
    ],
)
def test_wrong_completions(model, z, given, draws, message):
    with pytest.raises(ValueError, match=message):
        complete(model, z, given, draws)


def test_the_ends_of_a_way_are_the_codes_and_its_middle_their_mean(model):
    z = draw_codes(model, 6, seed=5)
    a, b = z[:, :3], z[:, 3:]
    rows = interpolate(model, a, b, 5)
    assert rows.shape == (3, 5, 1, 32, 32)
    for place, code in ((0, a), (2, (a + b) / 2), (4, b)):
        torch.testing.assert_close(rows[:, place], model.decode(code), rtol=0, atol=1e-5)


def test_wrong_ways(model):
    z = draw_codes(model, 3)
    with pytest.raises(ValueError, match=r"both codes must be of one shape, found \[3, 3, 8\] and \[3, 2, 8\]"):
        interpolate(model, z, z[:, :2], 5)
    for a, b in ((z.int(), z.int()), (z, z.double())):
        with pytest.raises(ValueError, match=f"of one floating point type, found {a.dtype} and {b.dtype}"):
            interpolate(model, a, b, 5)
    with pytest.raises(ValueError, match="steps must be >= 2, both ends included, found 1"):
        interpolate(model, z, z, 1)


def test_drawn_codes_are_those_of_sample(model):
    torch.testing.assert_close(model.decode(draw_codes(model, 5, 2)), model.sample(5, 2), rtol=0, atol=1e-5)
