"""The last stage: a decoder that is tuned on codes of the prior, by a discriminator."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.config import Stage
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae import load
from fsvae_tcja.vae.discriminator import RISE, Discriminator, Tuner, Tuning
from fsvae_tcja.vae.noise import Streams
from fsvae_tcja.vae.recalibrate import recalibrate
from fsvae_tcja.vae.train import FSVAETask, TrainConfig
from tests.conftest import long

from .conftest import awake
from .latent.test_escape import CLUSTERED, MODEL, RUN, fit, images_of, toy

pytestmark = pytest.mark.usefixtures("without_curves")
TUNED = replace(
    RUN,
    steps=5,
    ema=0.9,
    model=replace(MODEL, latent=replace(CLUSTERED, guidance=0.5, prior=Stage(steps=3, batch_size=16, lr=1e-2))),
    tuning=Tuning(0.5, Stage(steps=6, batch_size=8, lr=1e-2, betas=(0.5, 0.99))),
)


@pytest.fixture
def tuner():
    model = awake(TUNED.model)
    model.latent.start_stage(torch.randint(0, 2, (40, 3, 8), dtype=torch.uint8), torch.full((40,), -1))
    return Tuner(model, 0.5, seed=0)


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("steps", [0, 100, 9000])
def test_decoder_and_discriminator_get_the_gradients_of_the_two_losses(tuner, steps):
    model, discriminator, x = tuner.model, tuner.discriminator, images_of(6)
    discriminator.steps.fill_(steps)
    discriminator.eval()  # spectral norms as they are
    model.train()
    losses = tuner.losses(x, torch.zeros(6, dtype=torch.int64), torch.Generator().manual_seed(2))
    losses["loss"].backward()
    found = gradients(model), gradients(discriminator)
    assert discriminator.steps == steps + 1

    model.eval()
    z = model.encoder(x).detach()
    y = model.latent.kinds_of(z)
    generator = torch.Generator().manual_seed(2)
    torch.rand(1, 6, 25, generator=generator)  # the noise of the posterior
    chosen = torch.randint(tuner.codes.shape[1], (6,), generator=generator)
    model.zero_grad()
    discriminator.zero_grad()
    recon, drawn = model.decoder.train()(torch.cat([z, tuner.codes[:, chosen].float()], dim=1)).split(6)
    fooled = F.mse_loss(recon, x) - 0.5 * min(1, steps / RISE) * discriminator(drawn, tuner.kinds[chosen]).mean()
    fooled.backward()
    decoder = gradients(model)
    discriminator.zero_grad()
    unreal = discriminator(drawn.detach(), tuner.kinds[chosen])
    (F.relu(1 - discriminator(x, y)).mean() + F.relu(1 + unreal).mean()).backward()
    assert found[0].keys() == decoder.keys() and all(name.startswith("decoder.") for name in decoder)
    assert found[1].keys() == {name for name, _ in discriminator.named_parameters()}
    for one, other in ((found[0], decoder), (found[1], gradients(discriminator))):
        for name, gradient in one.items():
            torch.testing.assert_close(gradient, other[name], atol=1e-6, rtol=1e-3, msg=lambda t, n=name: f"{n}: {t}")
    assert any(g.any() for g in found[0].values()) and any(g.any() for g in found[1].values())
    assert losses.keys() <= model.units.keys()
    assert losses["loss"].item() == pytest.approx(fooled.item() + losses["hinge"].item(), rel=1e-5)


def test_the_codes_are_the_priors_and_of_no_small_seed(tuner):
    model = tuner.model
    noise = model.latent.noise(Streams((1 << 62), 0, 50))
    assert torch.equal(model.latent.sample(noise).to(torch.uint8), tuner.codes[:, :50])
    assert torch.equal(model.latent.draw_kinds(noise), tuner.kinds[:50])
    assert 0 < tuner.codes.float().mean() < 1


def test_the_discriminator_knows_the_kind():
    discriminator = Discriminator(MODEL, 4).eval()
    x = images_of(5)
    a, b = (discriminator(x, torch.full((5,), y)) for y in (0, 1))
    h = discriminator.features(x)
    torch.testing.assert_close(b - a, h @ (discriminator.of_class.weight[1] - discriminator.of_class.weight[0]))
    assert a.shape == (5,) and len(a.unique()) == 5 and not torch.equal(a, b)


def test_no_layer_of_a_trained_discriminator_stretches_by_more_than_one(tuner):
    x, labels = images_of(6), torch.zeros(6, dtype=torch.int64)
    for seed in range(20):
        tuner.model.train()
        tuner.losses(x, labels, torch.Generator().manual_seed(seed))
    for layer in (*tuner.discriminator.features, tuner.discriminator.score, tuner.discriminator.of_class):
        if hasattr(layer, "weight"):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, without_curves):
    path = tmp_path_factory.mktemp("whole")
    outcome, _ = fit(path, TUNED)
    assert (outcome.step, outcome.finished) == (14, True)
    return path


def test_the_last_stage_changes_the_decoder_alone(tmp_path, whole):
    fit(tmp_path, TUNED, at=8)
    before, after = load(tmp_path).state_dict(), load(whole).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    trained = {name for name in changed if "running_" not in name and "num_batches" not in name}
    assert {name.split(".")[0] for name in trained} == {"decoder"}
    rows = RunFolder(whole, resume=True).read_metrics()
    assert [row["step"] for row in rows if "test_prior_nats" in row] == [7, 8]
    assert [row["step"] for row in rows if "hinge" in row][-1] == 14
    assert load(whole).sample(3).shape == (3, 1, 32, 32)


def test_no_stage_seeds_the_global_generator_of_a_gpu(tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    fit(tmp_path, TUNED)
    assert not seeds


@pytest.mark.parametrize("steps", [[8], [2, 7, 3, 1], *(pytest.param([at], marks=long) for at in (6, 9, 11))])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, whole, steps):
    for i, at in enumerate(steps):
        assert not fit(tmp_path, TUNED, resume=i > 0, at=at)[0].finished
    assert fit(tmp_path, TUNED, resume=True)[0].finished
    for file in ("checkpoint.safetensors", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (whole / file).read_bytes()


def test_the_discriminator_is_kept_beside_the_model(whole):
    everything, _ = checkpoint.read(whole / "checkpoint.safetensors")
    model, _ = checkpoint.read(whole / "model.safetensors")
    assert any(name.startswith("beside.features") for name in everything)
    assert not any("discriminator" in name or name.startswith("beside") for name in model)


def test_the_decoder_is_recalibrated_on_both_kinds_of_codes(whole):
    model = load(whole)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recalibrate(model, toy(), 40)
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n]) and "joint" not in n}
    assert changed and all(name.startswith("decoder.") for name in changed)
    recalibrate(model, toy(), 40, drawn=Tuner(model, 0.5, 0).codes)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items() if "joint" not in n)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="weight must be >= 0, found -1"):
        Tuning(-1)
    with pytest.raises(ValueError, match="weight must be >= 0, found inf"):
        Tuning(float("inf"))
    small = replace(TUNED.model, image_size=4, channels=(3,))
    with pytest.raises(ValueError, match="the discriminator looks at images of at least 8 pixels, found 4"):
        replace(TUNED, model=small)
    many = replace(TUNED, model=replace(MODEL, latent=replace(CLUSTERED, clusters=41)))
    few = "training images, fewer than the 41 clusters of its codes; set --model.latent.clusters to at most"
    for config, found in (
        (many, f"toy has 40 {few} 40"),
        (replace(TUNED, limit=39, model=many.model), f"--limit leaves 39 {few} 39"),
    ):
        with pytest.raises(ValueError, match=found):
            FSVAETask(config, toy(), toy(10, "test"))
    with pytest.raises(ValueError, match=r"drawn must hold at least 40 codes on axis 1, found \[3, 9, 8\]"):
        recalibrate(awake(TUNED.model), toy(), 40, drawn=torch.zeros(3, 9, 8))
    assert from_dict(TrainConfig, to_dict(TUNED)) == TUNED
    assert len(TUNED.stages()) == 3 and len(replace(TUNED, tuning=Tuning()).stages()) == 2
