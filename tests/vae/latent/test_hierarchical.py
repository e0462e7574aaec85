import signal
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from fsvae_tcja.core import TDBatchNorm
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.utils.shares import Generator, Share
from fsvae_tcja.vae import FSVAE, FSVAEConfig, Hierarchical, load, save
from fsvae_tcja.vae.codes import codes_of
from fsvae_tcja.vae.complete import complete
from fsvae_tcja.vae.latent.escape_code import entropy
from fsvae_tcja.vae.noise import Streams
from fsvae_tcja.vae.pretrained import compact, drawing_config
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

from ..conftest import awake
from .test_escape import CLASSES, PRIOR, images_of, toy

pytestmark = pytest.mark.usefixtures("without_curves")
# T L = 24 bits in 8 groups of 3: the first 4 are the 12 of the base
TWO = Hierarchical(
    groups=2, hidden=16, joint_groups=2, joint_hidden=8, prior=PRIOR, base=4, detail_groups=8, detail_hidden=12
)
MODEL = FSVAEConfig(T=3, L=8, latent=TWO, neuron="centred", channels=(3, 4, 5, 6))
RUN = TrainConfig(data="toy", steps=10, batch_size=8, lr=1e-2, log_every=3, model=MODEL, recalibrate=40)


def lively(latent, **changes):
    """A latent of T = 3, whose priors depend on what was drawn before and whose neurons fire."""
    model = awake(replace(MODEL, L=changes.pop("L", 8), latent=replace(latent, **changes)))
    torch.manual_seed(1)
    for name, parameter in model.latent.named_parameters():
        if name.split(".")[-1] in ("V", "a", "D", "W"):
            torch.nn.init.normal_(parameter, std=0.7)
    return model


@pytest.fixture(scope="module")
def model():
    return lively(TWO)


def every_code(T, L):
    codes = torch.tensor(list(product((0.0, 1.0), repeat=T * L)))
    return codes.view(-1, T, L).transpose(0, 1)  # [T, 2^(T L), L]


# probability


@pytest.mark.parametrize("base", [1, 2, 3])
def test_the_probabilities_of_all_codes_add_up_to_one_and_so_do_those_of_the_details_of_a_base(base):
    latent = lively(TWO, L=4, base=base, groups=1, joint_groups=1, detail_groups=4 if base == 2 else 12).latent
    z = every_code(3, 4)
    with torch.no_grad():
        nats = latent.nll(z).double()
        of_base = latent.prior.nll(z[..., :base]).double()
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-5)
    which = z[..., :base].transpose(0, 1).flatten(1)
    same = (which == which[77]).all(1)
    assert same.sum() == 2 ** (3 * (4 - base)) and nats[same].std() > 0.1
    assert (of_base - nats)[same].exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_codes_are_drawn_as_often_as_their_probability_says():
    latent = lively(TWO, L=3, base=1, groups=1, joint_groups=1, detail_groups=9).latent
    n = 200_000
    drawn = latent.sample(latent.noise(Streams(0, 0, n))).transpose(0, 1).flatten(1)
    number = (drawn.long() * 2 ** torch.arange(8, -1, -1)).sum(1)
    with torch.no_grad():
        expected = (-latent.nll(every_code(3, 3))).exp()
    found = torch.bincount(number, minlength=512) / n
    deviation = (found - expected) / (expected * (1 - expected) / n).sqrt()
    assert deviation.abs().max() < 5 and 0.8 < deviation.square().mean() < 1.2
    assert expected.max() > 5 * expected.median()


def test_details_are_drawn_for_the_base_that_was_drawn(model):
    latent, n = model.latent, 300
    noise = latent.noise(Streams(0, 0, n))
    z = latent.sample(noise)
    assert z.shape == (3, n, 8) and 0.05 < z.mean() < 0.95
    assert torch.equal(z[..., :4], latent.prior.sample(noise[0, :, :12]))
    other = noise.clone()
    other[..., :12] = 1 - other[..., :12].clamp(min=1e-3)  # another base, and the same chance for the details
    changed = latent.sample(other)
    assert not torch.equal(changed[..., :4], z[..., :4]) and not torch.equal(changed[..., 4:], z[..., 4:])


def test_an_image_depends_on_its_seed_alone(model):
    drawn = model.sample(40, seed=5)
    assert len(drawn.flatten(1).unique(dim=0)) > 20
    for n, batch_size in ((40, 7), (9, 64), (1, 1)):
        assert torch.equal(model.sample(n, seed=5, batch_size=batch_size), drawn[:n])


@pytest.mark.parametrize("kinds", [{"classes": CLASSES}, {"clusters": 4}])
def test_labels_clusters_and_guidance_are_of_the_base(kinds):
    model = lively(TWO, guidance=0.5, **kinds)
    latent, codes = model.latent, codes_of(model, toy()).codes
    latent.start_stage(codes, torch.arange(40) % CLASSES)
    z = codes.transpose(0, 1).float()
    labels = torch.arange(40) % CLASSES
    known = latent.kinds_of(z, labels)
    if "clusters" in kinds:
        assert latent.centres.shape == (4, 12)
        silent = torch.cat([z[..., :4], torch.zeros_like(z[..., 4:])], dim=2)
        assert torch.equal(known, latent.kinds_of(silent, labels))
    noise = latent.noise(Streams(0, 0, 40))
    assert noise.shape == (1, 40, 25)
    drawn = latent.sample(noise, known)
    assert torch.equal(drawn[..., :4], latent.prior.sample(noise[0, :, :12], known, 0.5))
    assert not torch.equal(drawn, latent.sample(noise, (known + 1) % latent.kinds))


@pytest.mark.parametrize("given", [0, 1, 5, 6, 7, 10])
def test_codes_are_completed_in_the_order_in_which_they_are_drawn(model, given):
    latent, z = model.latent, model.encode(images_of(6))
    assert latent.micro_steps == 3 * 2 + 4
    order = [(t, i) for t in range(3) for i in range(4)] + [(t, i) for t in range(3) for i in range(4, 8)]
    known = min(given, 6) * 2 + max(given - 6, 0) * 3
    completed = latent.complete(z, given, latent.noise(Streams(3, 0, 6)))
    for t, i in order[:known]:
        assert torch.equal(completed[t, :, i], z[t, :, i])
    assert torch.equal(completed, z) == (given == 10)
    if not given:
        assert torch.equal(completed, latent.sample(latent.noise(Streams(3, 0, 6))))
    assert complete(model, z, given, 2).shape == (6, 2, 1, 32, 32)
    with pytest.raises(ValueError, match=r"given must be in 0\.\.10"):
        complete(model, z, 11, 2)


# losses


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain_loss(model, x, rate, base_rate, base_weight):
    """MSE + base_weight base_mse + rate r + base_rate r_b, with no factors on the way."""
    z = model.encoder(x)
    base = z[..., : model.latent.width]
    silent = F.pad(base[:, ::4], (0, z.shape[2] - base.shape[2]))
    rates = rate * model.latent.joint.nll(z).mean() + base_rate * model.latent.joint_base.nll(base).mean()
    return F.mse_loss(model.decoder(z), x) + base_weight * F.mse_loss(model.decoder(silent), x[::4]) + rates


@pytest.mark.parametrize(("steps", "n"), [(0, 9), (60, 9), (100, 5), (9000, 2)])
def test_every_gradient_is_that_of_the_weighted_sum(steps, n):
    latent = replace(TWO, rate=0.02, rise=200, base_rate=0.05, base_rise=100, base_weight=0.7)
    model, x = awake(replace(MODEL, latent=latent)).train(), images_of(n)
    model.latent.steps.fill_(steps)
    losses = model.losses(x, out := model(x))
    found = gradients(model, losses["loss"])
    assert model.latent.steps == steps + 1
    assert set(losses) == {"loss", "mse", "rate", "base_rate", "base_mse"}
    assert 0.05 < out.z[..., :4].mean() < 0.95 and 0.05 < out.z[..., 4:].mean() < 0.95
    total = losses["mse"] + 0.02 * losses["rate"] + 0.05 * losses["base_rate"] + 0.7 * losses["base_mse"]
    assert losses["loss"].item() == pytest.approx(total.item(), rel=1e-5)
    weighted = gradients(model, plain_loss(model, x, 0.02 * min(1, steps / 200), 0.05 * min(1, steps / 100), 0.7))
    whole = gradients(model, plain_loss(model, x, 1.0, 1.0, 0.7))
    assert {name.split(".")[1] for name in found if name.startswith("latent.")} == {"joint", "joint_base"}
    for name, gradient in found.items():
        expected = whole[name] if name.startswith("latent.joint") else weighted[name]
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")
    for part in ("encoder", "decoder", "latent.joint.", "latent.joint_base."):
        assert any(g.any() for name, g in found.items() if name.startswith(part))


@pytest.mark.parametrize("steps", [60, 9000])
def test_rates_of_a_code_that_is_drawn_are_less_its_entropy(steps):
    latent = replace(TWO, stochastic=0.1, rate=0.02, rise=200, base_rate=0.05, base_rise=100)
    model, x = awake(replace(MODEL, latent=latent)).train(), images_of(9)
    model.latent.steps.fill_(steps)
    noise = model.latent.noise(Streams(4, 0, 9))
    losses = model.losses(x, model(x, noise=noise))
    found = gradients(model, losses["loss"])

    def plain(rate, base_rate):
        z, q = model.latent.infer(model.encoder(x), noise)
        rates = model.latent.joint.nll(z) - entropy(q), model.latent.joint_base.nll(z[..., :4]) - entropy(q[..., :4])
        silent = F.pad(z[:, ::4, :4], (0, 4))
        mse = F.mse_loss(model.decoder(z), x) + 0.5 * F.mse_loss(model.decoder(silent), x[::4])
        return mse + rate * rates[0].mean() + base_rate * rates[1].mean(), rates

    loss, rates = plain(0.02 * min(1, steps / 200), 0.05 * min(1, steps / 100))
    assert losses["rate"].item() == pytest.approx(rates[0].mean().item(), rel=1e-4)
    assert losses["base_rate"].item() == pytest.approx(rates[1].mean().item(), rel=1e-4)
    weighted, whole = gradients(model, loss), gradients(model, plain(1.0, 1.0)[0])
    for name, gradient in found.items():
        expected = whole[name] if name.startswith("latent.joint") else weighted[name]
        torch.testing.assert_close(gradient, expected, atol=2e-6, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("share", [Share(2, 4, 10), Share(0, 6, 12)])
def test_processes_share_a_batch_so_that_every_fourth_image_is_the_same(share):
    model, x = awake(MODEL).train(), images_of(share.n)
    generator = Generator()
    generator.share = share
    with pytest.raises(
        ValueError, match=rf"a multiple of 4 images .* found {share.n} of {share.whole}; choose another"
    ):
        model.losses(x, model(x), generator=generator)


def test_a_training_whose_shares_do_not_fit_is_refused_before_it_begins(monkeypatch):
    monkeypatch.setattr("fsvae_tcja.vae.train.world", lambda: 2)
    monkeypatch.setattr("fsvae_tcja.utils.shares.world", lambda: 2)
    FSVAETask(RUN, toy(40), toy(8))
    without = replace(MODEL, latent=replace(TWO, base_weight=0.0))
    FSVAETask(replace(RUN, batch_size=12, model=without), toy(40), toy(8))
    with pytest.raises(ValueError, match=r"a multiple of 4 images .* found 6 of 12; choose another"):
        FSVAETask(replace(RUN, batch_size=12), toy(40), toy(8))
    with pytest.raises(ValueError, match="found 2 of 4; choose another"):
        FSVAETask(replace(RUN, accumulate=2), toy(40), toy(8))


def test_the_running_statistics_are_those_of_whole_codes():
    models = [awake(MODEL).train() for _ in range(2)]
    x = images_of(8)
    outs = [model(x) for model in models]
    models[0].losses(x, outs[0])
    norms = [[m for m in model.decoder.modules() if isinstance(m, TDBatchNorm)] for model in models]
    for used, unused in zip(*norms, strict=True):
        assert torch.equal(used.running_mean, unused.running_mean) and torch.equal(used.running_var, unused.running_var)
        assert used.num_batches_tracked == unused.num_batches_tracked


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({"rate": 0}, {"base_rate", "base_mse"}),
        ({"base_rate": 0}, {"rate", "base_mse"}),
        ({"rate": 0, "base_rate": 0}, {"base_mse"}),
        ({"base_weight": 0}, {"rate", "base_rate"}),
    ],
)
def test_a_rate_of_nothing_has_no_joint_prior(changes, terms):
    model, x = awake(replace(MODEL, latent=replace(TWO, **changes))).train(), images_of(8)
    losses = model.losses(x, model(x))
    assert losses.keys() - {"loss", "mse"} == terms
    joints = {name.split(".")[1] for name, _ in model.named_parameters() if "joint" in name}
    assert joints == {{"rate": "joint", "base_rate": "joint_base"}[name] for name in terms - {"base_mse"}}


# training and files


def test_a_run_trains_both_priors_and_goes_on_where_it_stopped(tmp_path):
    for name, at in (("whole", 0), ("parts", 4), ("late", 13)):
        Trainer(Stopped(at), RUN, RunFolder(tmp_path / name)).fit()
        if at:
            Trainer(Stopped(), RUN, RunFolder(tmp_path / name, resume=True)).fit(resume=True)
    models = [load(tmp_path / name) for name in ("whole", "parts", "late")]
    for other in models[1:]:
        for name, value in models[0].state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    rows = RunFolder(tmp_path / "whole", resume=True).read_metrics()
    last = [row for row in rows if "test_prior_nats" in row][-1]
    assert 0 < last["test_base_nats"] < last["test_prior_nats"]
    whole, first = models[0].state_dict(), FSVAETask(RUN, toy(), toy(10, "test")).model.state_dict()
    assert {
        n for n in whole if n.startswith(("latent.prior.W", "latent.detail.W")) and whole[n].equal(first[n])
    } == set()


class Stopped(FSVAETask):
    """Interrupted in step `at`."""

    def __init__(self, at=0):
        super().__init__(RUN, toy(), toy(10, "test"))
        self.done, self.at = 0, at

    def losses(self, *batch):
        self.done += 1
        if self.done == self.at:
            signal.raise_signal(signal.SIGINT)
        return super().losses(*batch)


def test_what_is_saved_is_the_same_model(model, tmp_path):
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == model.config and torch.equal(again.sample(5, seed=3), model.sample(5, seed=3))
    assert from_dict(TrainConfig, to_dict(RUN)) == RUN


def test_a_model_to_hand_on_has_no_joint_priors_and_draws_alike(model):
    published = FSVAE(drawing_config(model.config)).eval()
    names = set(model.state_dict()) - set(published.state_dict())
    assert model.training_parts == ["latent.joint", "latent.joint_base"]
    assert names == {name for name in model.state_dict() if name.startswith(("latent.joint.", "latent.joint_base."))}
    published.load_state_dict(published.upgraded(compact(model)), strict=False)
    whole = FSVAE(model.config).eval()
    whole.load_state_dict(whole.upgraded(compact(model)))  # of half precision, too
    assert torch.equal(published.sample(5, seed=3), whole.sample(5, seed=3))


# settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base": 0}, "base must be a whole number >= 1, found 0"),
        ({"base_rise": 0}, "base_rise must be a whole number >= 1, found 0"),
        ({"detail_groups": 1.5}, "detail_groups must be a whole number >= 1, found 1.5"),
        ({"detail_hidden": 0}, "detail_hidden must be a whole number >= 1, found 0"),
        ({"base_rate": -1e-4}, "base_rate must be >= 0, found -0.0001"),
        ({"base_weight": -1}, "base_weight must be >= 0, found -1"),
        ({"groups": 0}, "groups must be a whole number >= 1, found 0"),
        ({"groups": 3}, "groups must divide base, 32 bits, found 3"),
        ({"joint_groups": 5}, "joint_groups must divide base, 32 bits, found 5"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        replace(Hierarchical(), **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base": 8}, "base must be less than L, the bits of a step, for some are details; found 8 of 8"),
        ({"detail_groups": 5}, "detail_groups must divide the 24 bits of a code .* hold the 12 of its base, found 5"),
        ({"detail_groups": 3}, "whole groups hold the 12 of its base, found 3"),
    ],
)
def test_the_levels_fit_the_code(values, message):
    with pytest.raises(ValueError, match=message):
        FSVAE(replace(MODEL, latent=replace(TWO, **values)))
