from dataclasses import replace

import pytest
import torch

from fsvae_tcja.core import LIF, TCJA_LIF, LIFParams, Surrogate
from fsvae_tcja.data.load import load_images
from fsvae_tcja.runtime.curves import save_curves
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae import FSVAE, Bernoulli, load
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.reconstruct import reconstruct
from fsvae_tcja.vae.train import FSVAETask, TrainConfig
from tests.conftest import long

from .conftest import SMALL, TWO_BLOCKS, K, awake

pytestmark = pytest.mark.usefixtures("without_curves")
TINY = TrainConfig(data="digits", epochs=1, batch_size=64, lr=5e-3, model=replace(SMALL, T=3))
FEW = replace(TINY, limit=256)  # 4 steps


@pytest.fixture(scope="module")
def digits():
    return load_images("digits", "train"), load_images("digits", "test")


@pytest.fixture(scope="module")
def plain(digits, tmp_path_factory, without_curves):
    """The model of an undisturbed run."""
    return train(FEW, digits, tmp_path_factory.mktemp("plain") / "run")[0]


def train(config, digits, folder, score=None):
    task = FSVAETask(config, *digits, score=score)
    run = RunFolder(folder)
    Trainer(task, config, run).fit()
    return task.model, run.read_metrics()


@pytest.mark.parametrize("precision", ["fp32", "bf16", pytest.param("fp16", marks=long)])
@pytest.mark.parametrize("sampling", ["stream", pytest.param("prefix", marks=long)])
def test_every_precision_learns_and_keeps_fp32_weights(digits, tmp_path, precision, sampling):
    config = replace(TINY, precision=precision, model=replace(TINY.model, latent=Bernoulli(3, sampling)))
    model, rows = train(config, digits, tmp_path / "run")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert {t.dtype for t in model.state_dict().values() if t.is_floating_point()} == {torch.float32}


def test_kld_and_flips_train(digits, tmp_path):
    _, rows = train(
        replace(FEW, model=replace(TINY.model, latent=Bernoulli(3, distance="kld")), flip=True),
        digits,
        tmp_path / "run",
    )
    assert rows[0]["loss"] == pytest.approx(rows[0]["mse"] + 1e-4 * rows[0]["kld"], rel=1e-5)


def test_scores_while_training_are_logged_and_change_nothing(digits, tmp_path, plain):
    calls = []

    def score(epoch, model):
        torch.rand(7)  # a score that does use the global random state
        calls.append((epoch, model.training))
        return {"score": 1.0}

    scored, rows = train(FEW, digits, tmp_path / "run", score)
    assert calls == [(1, False)]
    assert rows[-1]["score"] == 1.0
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), scored.parameters(), strict=True))


def test_the_curves_show_the_last_epoch_too(digits, tmp_path, monkeypatch):
    drawn = []

    def draw(rows, *args, **kwargs):
        drawn.append(rows)
        save_curves(rows, *args, **kwargs)

    monkeypatch.setattr("fsvae_tcja.vae.train.save_curves", draw)
    _, rows = train(FEW, digits, tmp_path / "run", lambda epoch, model: {"score": 1.0})
    last = {name: rows[-1][name] for name in ("step", "test_mse", "score")}
    assert drawn == [[*rows[:-1], last]]
    assert (tmp_path / "run" / "pictures" / "curves.png").exists()


def test_saving_memory_gives_the_same_weights(digits, tmp_path, plain):
    """Layers computed again in the backward pass: equal gradients, statistics counted once."""
    saving, _ = train(replace(FEW, save_memory=True), digits, tmp_path / "run")
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), saving.state_dict().values(), strict=True)
    )


def test_reconstructions_do_not_depend_on_the_batch_size(digits):
    model = awake(SMALL)
    x, whole = next(reconstruct(model, digits[1], 21, seed=1, batch_size=21))
    assert whole.shape == x.shape == (21, 1, 32, 32)
    for batch_size in (1, 5):
        parts = [recon for _, recon in reconstruct(model, digits[1], 21, seed=1, batch_size=batch_size)]
        assert torch.equal(torch.cat(parts), whole)
    with pytest.raises(ValueError, match=r"n must be in 1\.\.297, the images of digits test; found 298"):
        next(reconstruct(model, digits[1], 298))


@pytest.mark.parametrize("length", [{"epochs": 4}, {"steps": 16, "limit": 256}])
def test_the_latent_is_told_how_far_the_training_is(digits, monkeypatch, length):
    task, found = FSVAETask(replace(TINY, **length), *digits), []
    divergence = task.model.latent.divergence
    monkeypatch.setattr(
        task.model.latent, "divergence", lambda *args, **given: found.append(given["progress"]) or divergence(*args)
    )
    images = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    for epoch in range(4):
        task.losses(images, torch.zeros(2), epoch, torch.Generator())
    assert found == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("steps", "parts", "shared"),
    [(8, (700, 300, 1), [5, 2, 1]), (4, (1, 50, 1), [1, 2, 1]), (5, (1, 1, 50), [1, 1, 3]), (3, (1, 1, 50), [1, 1, 1])],
)
def test_stages_share_steps_of_which_each_has_one_at_least(steps, parts, shared):
    stages = PRESETS["mnist"].config.sharing(steps, parts).stages()
    assert [stage.steps for stage in stages] == shared


def test_a_part_that_the_configuration_does_not_build_ends_a_training_before_it_is_saved(digits, tmp_path):
    task = FSVAETask(FEW, *digits)
    task.model.encoder.to_latent.neuron = LIF(TCJA_LIF)
    with pytest.raises(ValueError, match=r"encoder\.to_latent\.neuron is LIF"):
        Trainer(task, FEW, RunFolder(tmp_path)).fit()
    assert not (tmp_path / "model.safetensors").exists()


def test_a_run_folder_gives_back_latent_readout_and_neuron(digits, tmp_path):
    own = LIFParams(0.3, 1.0, 0.25, True, True, False, Surrogate("triangle", 0.5))
    model = replace(TINY.model, readout="mean", neuron=own, latent=Bernoulli(2, "prefix", "kld", False))
    trained, _ = train(replace(FEW, model=model), digits, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.config == model
    assert torch.equal(again.sample(3), trained.sample(3))


def test_data_that_does_not_fit_the_model(digits):
    with pytest.raises(ValueError, match=r"the model takes 3 channel\(s\) of 32 pixels, digits gives 1 of 32"):
        FSVAETask(replace(TINY, model=replace(TINY.model, in_channels=3)), *digits)


def test_data_of_pytorch_s_own_kind(digits):
    data = torch.utils.data.TensorDataset(torch.zeros(8, 1, 32, 32))
    message = "the data must be a LabelledDataset, found TensorDataset; `load_images` gives one, and MemoryImages makes"
    for train_and_test in ((data, digits[1]), (digits[0], data)):
        with pytest.raises(ValueError, match=message):
            FSVAETask(TINY, *train_and_test)


def test_unknown_precision():
    with pytest.raises(ValueError, match="precision must be one of"):
        TrainConfig(precision="fp8")


def test_the_compiled_parts_are_whole_graphs_and_agree(images):
    model, images = awake(TWO_BLOCKS), images[..., :8, :8]
    compiled = FSVAE(TWO_BLOCKS).eval()
    compiled.load_state_dict(model.state_dict())
    for part in (compiled.encoder, compiled.decoder):
        part.compile(backend="aot_eager", fullgraph=True)
    noise = torch.randint(K, (TWO_BLOCKS.T, len(images), TWO_BLOCKS.L))
    for network in (model, compiled):
        network(images, noise=noise).recon.square().mean().backward()
    with torch.no_grad():
        torch.testing.assert_close(compiled(images, noise=noise).recon, model(images, noise=noise).recon)
    for (name, a), b in zip(model.named_parameters(), compiled.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-6, msg=name)
