import signal
from dataclasses import replace

import pytest
import torch

from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.config import Stage
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae import FSVAE, Bernoulli, Escape, FSVAEConfig, load, save
from fsvae_tcja.vae.codes import codes_of
from fsvae_tcja.vae.latent import escape
from fsvae_tcja.vae.latent.clusters import find_centres, nearest
from fsvae_tcja.vae.noise import Generated, Streams
from fsvae_tcja.vae.recalibrate import recalibrate
from fsvae_tcja.vae.train import FSVAETask, TrainConfig
from fsvae_tcja.vae.watch import Watch, variance
from tests.conftest import long

from ..conftest import awake

pytestmark = pytest.mark.usefixtures("without_curves")
CLASSES = 3
PRIOR = Stage(steps=7, batch_size=16, lr=1e-2, betas=(0.9, 0.98), schedule="cosine", warmup=2)
ESCAPE = Escape(groups=4, hidden=16, joint_groups=2, joint_hidden=8, classes=CLASSES, prior=PRIOR)
MODEL = FSVAEConfig(T=3, L=8, latent=ESCAPE, neuron="centred", channels=(3, 4, 5, 6))
RUN = TrainConfig(
    data="toy", steps=10, batch_size=8, lr=1e-2, schedule="cosine", log_every=3, model=MODEL, recalibrate=40
)


def toy(n=40, split="train", classes=CLASSES):
    generator = torch.Generator().manual_seed(n)
    images = torch.randint(0, 256, (n, 1, 32, 32), dtype=torch.uint8, generator=generator)
    return MemoryImages("toy", split, images, torch.arange(n) % CLASSES if classes else torch.full((n,), -1), classes)


@pytest.fixture
def model():
    model = awake(MODEL)
    model.latent.start_stage(torch.zeros(5, 3, 8, dtype=torch.uint8), torch.tensor([0, 0, 0, 1, -1]))
    return model


def images_of(n):
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


# the code and its rate


def test_the_code_is_what_the_encoder_fires(model):
    x = images_of(4)
    z = model.encode(x)
    assert torch.equal(z, model.encoder(x)) and 0.05 < z.mean() < 0.95
    assert torch.equal(model(x).recon, model.decode(z))


def gradients(model, x, steps):
    model.train()
    model.latent.steps.fill_(steps)
    model.zero_grad()
    losses = model.losses(x, model(x))
    losses["loss"].backward()
    return losses, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain_gradients(model, x, weight):
    """Of MSE + weight * rate, with no factors on the way."""
    model.train()
    model.zero_grad()
    z = model.encoder(x)
    mse = torch.nn.functional.mse_loss(model.decoder(z), x)
    (mse + weight * model.latent.joint.nll(z).mean()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("steps", "rise"), [(0, 500), (100, 500), (100, 300), (500, 500), (9000, 12_000), (9000, 1)])
def test_the_encoder_sees_the_weighted_rate_and_the_joint_prior_all_of_it(steps, rise):
    rate = 0.03
    model, x = awake(replace(MODEL, latent=replace(ESCAPE, rate=rate, rise=rise))), images_of(6)
    losses, found = gradients(model, x, steps)
    assert model.latent.steps == steps + 1
    assert losses["loss"].item() == pytest.approx(losses["mse"].item() + rate * losses["rate"].item(), rel=1e-5)
    weighted, whole = plain_gradients(model, x, rate * min(1, steps / rise)), plain_gradients(model, x, 1.0)
    assert {name.split(".")[1] for name in found if name.startswith("latent.")} == {"joint"}
    for name, gradient in found.items():
        expected = whole[name] if name.startswith("latent.joint.") else weighted[name]
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")
    assert any(g.any() for name, g in found.items() if name.startswith("latent.joint."))


def test_without_a_rate_there_is_no_joint_prior():
    model = awake(replace(MODEL, latent=replace(ESCAPE, rate=0)))
    x = images_of(4)
    assert model.losses(x, model(x)).keys() == {"loss", "mse"}
    assert not any("joint" in name for name, _ in model.named_parameters())


# drawing


def test_noise_is_uniform_and_one_number_draws_the_label(model):
    for source in (Streams(3, 0, 50), Generated(50, torch.Generator().manual_seed(0))):
        noise = model.latent.noise(source)
        assert noise.shape == (1, 50, 3 * 8 + 1) and noise.min() >= 0 and noise.max() < 1
        assert torch.equal(model.latent.check_noise(noise, 50), noise)
    unlabelled = replace(ESCAPE, classes=0).build(3, 8, MODEL.neuron)
    assert unlabelled.noise(Streams(3, 0, 5)).shape == (1, 5, 24)


def test_an_image_depends_on_its_seed_alone(model):
    drawn = model.sample(70, seed=5)
    assert len(drawn.flatten(1).unique(dim=0)) > 35
    for n, batch_size in ((70, 7), (9, 64), (1, 1)):
        assert torch.equal(model.sample(n, seed=5, batch_size=batch_size), drawn[:n])
    assert not torch.equal(model.sample(9, seed=6), drawn[:9])
    noise = model.latent.noise(Streams(5, 0, 70))
    assert torch.equal(model.sample(70, noise=noise), drawn)


def test_labels_choose_the_class(model):
    z = model.latent.sample(noise := model.latent.noise(Streams(0, 0, 90)), labels := torch.arange(90) % CLASSES)
    assert torch.equal(z, model.latent.prior.sample(noise[0, :, :-1], labels))
    whole = model.sample(30, seed=2, labels=torch.full((30,), 1))
    assert torch.equal(model.sample(5, seed=2, labels=torch.full((5,), 1), batch_size=2), whole[:5])
    assert not torch.equal(model.sample(30, seed=2, labels=torch.full((30,), 2)), whole)


def test_without_labels_each_class_is_drawn_as_often_as_it_was_seen(model, monkeypatch):
    found = []
    monkeypatch.setattr(model.latent.prior, "sample", lambda noise, labels, guidance: found.append(labels))
    model.latent.sample(noise := model.latent.noise(Streams(0, 0, 4000)))
    assert torch.equal(found[0], model.latent.draw_kinds(noise))
    share = torch.bincount(found[0], minlength=CLASSES + 1) / 4000
    torch.testing.assert_close(share, torch.tensor([0.6, 0.2, 0, 0.2]), atol=0.04, rtol=0)


def test_an_unknown_label_is_a_class_of_its_own(model):
    z = model.encode(images_of(4))
    none = model.latent.nll(z, torch.full((4,), -1))
    assert torch.equal(model.latent.nll(z), none)
    assert not torch.equal(model.latent.nll(z, torch.zeros(4, dtype=torch.int64)), none)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (torch.rand(1, 4, 24), r"noise must be floating point \[1, 5, 25\], found torch.float32 \[1, 4, 24\]"),
        (torch.zeros(1, 5, 25, dtype=torch.int64), r"found torch.int64 \[1, 5, 25\]"),
        (torch.ones(1, 5, 25), r"noise must lie in \[0, 1\), found 1.0 to 1.0"),
    ],
)
def test_other_noise_is_refused(model, noise, message):
    with pytest.raises(ValueError, match=message):
        model.sample(5, noise=noise)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(4, dtype=torch.int64), r"labels must be int64 \[5\] in 0\.\.2, found torch.int64 \[4\]"),
        (2, r"labels must be int64 \[5\] in 0\.\.2, found 2; give torch.full\(\(5,\), 2\)"),
        ([0, 1, 2, 0, 1], r"labels must be int64 \[5\] in 0\.\.2, found list; give torch.tensor\(labels\)"),
        (torch.zeros(5), r"found torch.float32 \[5\]"),
        (torch.tensor([0, 1, 2, 3, 0]), "found 0 to 3"),
        (torch.tensor([0, 1, 2, -1, 0]), "found -1 to 2"),
    ],
)
def test_other_labels_are_refused(model, labels, message):
    with pytest.raises(ValueError, match=message):
        model.sample(5, labels=labels)


def test_labels_are_refused_by_a_latent_that_knows_none():
    model = FSVAE(replace(MODEL, latent=Bernoulli(2)))
    with pytest.raises(ValueError, match="this model draws without labels"):
        model.sample(5, labels=torch.zeros(5, dtype=torch.int64))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": 0}, "groups must be a whole number >= 1, found 0"),
        ({"hidden": 1.5}, "hidden must be a whole number >= 1, found 1.5"),
        ({"classes": -1}, "classes must be a whole number >= 0, found -1"),
        ({"clusters": -1}, "clusters must be a whole number >= 0, found -1"),
        ({"rise": 0}, "rise must be a whole number >= 1, found 0"),
        ({"guidance": -1}, "guidance must be >= 0, found -1"),
        ({"guidance": 0.5}, "found 0.5 without classes or clusters"),
        ({"classes": 3, "clusters": 4}, "labels or clusters, found classes=3 and clusters=4"),
        ({"rate": -1e-4}, "rate must be >= 0, found -0.0001"),
        ({"label_dropout": 1}, r"label_dropout must be in \[0, 1\), found 1"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        replace(Escape(), **values)


@pytest.mark.parametrize("name", ["groups", "joint_groups"])
def test_groups_divide_the_bits(name):
    with pytest.raises(ValueError, match=f"^{name} must divide the 8 bits of a step, found 3"):
        FSVAE(replace(MODEL, latent=replace(ESCAPE, **{name: 3})))


# clusters


CLUSTERED = replace(ESCAPE, classes=0, clusters=4)


def test_clusters_stand_in_for_labels():
    model = awake(replace(MODEL, latent=CLUSTERED))
    latent = model.latent
    codes = codes_of(model, toy()).codes
    latent.start_stage(codes, torch.full((40,), -1))
    z = codes.transpose(0, 1).float()
    kinds = latent.kinds_of(z)
    distance = torch.cdist(codes.flatten(1).float(), latent.centres)
    assert torch.equal(distance.gather(1, kinds[:, None]).squeeze(1), distance.amin(1))
    assert torch.equal(torch.bincount(kinds, minlength=5).float(), latent.seen) and (latent.seen > 0).sum() > 1
    assert torch.equal(latent.nll(z), latent.prior.nll(z, kinds))
    assert torch.equal(latent.kinds_of(z, torch.zeros(40, dtype=torch.int64)), kinds)  # whatever the labels
    torch.testing.assert_close(latent.nats_of_kind(z), -(latent.seen[kinds] / 40).log())
    drawn = latent.draw_kinds(latent.noise(Streams(0, 0, 8000)))
    torch.testing.assert_close(torch.bincount(drawn, minlength=5) / 8000, latent.seen / 40, atol=0.03, rtol=0)
    noise, zeros = latent.noise(Streams(0, 0, 200)), torch.zeros(200, dtype=torch.int64)
    assert not torch.equal(latent.sample(noise, zeros), latent.sample(noise, zeros + 3))
    with pytest.raises(ValueError, match="this model draws without labels"):  # a cluster is no label
        model.sample(200, labels=zeros)


def test_guidance_draws_what_the_prior_draws_with_it(model):
    guided = FSVAE(replace(MODEL, latent=replace(ESCAPE, guidance=2.0))).eval()
    guided.load_state_dict(model.state_dict())
    noise, labels = model.latent.noise(Streams(0, 0, 50)), torch.arange(50) % CLASSES
    z = guided.latent.sample(noise, labels)
    assert torch.equal(z, model.latent.prior.sample(noise[0, :, :-1], labels, 2.0))
    assert not torch.equal(z, model.latent.sample(noise, labels))


def test_centres_are_found_again():
    centres = (torch.rand(5, 40, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    which = torch.arange(500) % 5
    flipped = torch.rand(500, 40, generator=torch.Generator().manual_seed(1)) < 0.05
    codes = (centres[which] != flipped).to(torch.uint8)
    found = find_centres(codes, 5, seed=3)
    assert torch.equal(found, find_centres(codes, 5, seed=3))
    near = nearest(codes, found)
    assert all(len(near[which == k].unique()) == 1 for k in range(5)) and len(near.unique()) == 5
    for k in range(5):
        torch.testing.assert_close(found[near[k]], codes[which == k].float().mean(0))


def test_there_are_at_most_as_many_clusters_as_codes():
    with pytest.raises(ValueError, match="there cannot be 6 clusters of 5 codes"):
        find_centres(torch.zeros(5, 8), 6)


# files


def test_what_is_saved_is_the_same_model(model, tmp_path):
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == model.config
    assert torch.equal(again.sample(5, seed=3), model.sample(5, seed=3))
    assert from_dict(TrainConfig, to_dict(RUN)) == RUN


# training


class Interrupted(FSVAETask):
    """The process gets a signal during step `at`."""

    def __init__(self, config, at=0):
        super().__init__(config, toy(), toy(10, "test"))
        self.done, self.at = 0, at

    def losses(self, *batch):
        self.done += 1
        if self.done == self.at:
            signal.raise_signal(signal.SIGINT)
        return super().losses(*batch)


def fit(path, config=RUN, resume=False, at=0):
    task = Interrupted(config, at)
    return Trainer(task, config, RunFolder(path, resume)).fit(resume), task


@pytest.fixture(scope="module")
def whole(tmp_path_factory, without_curves):
    path = tmp_path_factory.mktemp("whole")
    for name, config in (("plain", RUN), ("averaged", replace(RUN, ema=0.9))):
        outcome, _ = fit(path / name, config)
        assert (outcome.step, outcome.finished) == (17, True)
    return path


def test_a_run_has_both_stages(whole):
    rows = RunFolder(whole / "plain", resume=True).read_metrics()
    first = [row for row in rows if "rate" in row]
    second = [row for row in rows if "prior_nats" in row]
    assert first and second and max(row["step"] for row in first) == 10 and min(row["step"] for row in second) > 10
    # 40 images: 5 steps of 8 an epoch, then 2 of 16
    assert [(row["step"], row["epoch"]) for row in rows if "test_mse" in row] == [
        *((5, 1), (10, 2)),
        *((12, 3), (14, 4), (16, 5), (17, 6)),
    ]
    assert [row["step"] for row in rows if "test_prior_nats" in row] == [12, 14, 16, 17]
    pictures = {path.name for path in (whole / "plain" / "pictures").iterdir()}
    assert "epoch-002-samples.png" not in pictures and "epoch-003-samples.png" in pictures
    assert load(whole / "plain").sample(2).shape == (2, 1, 32, 32)


def test_the_second_stage_trains_the_prior_alone_on_the_codes(tmp_path):
    _, task = fit(tmp_path, at=10)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    _, task = fit(tmp_path, resume=True)
    changed = {n for n, value in task.model.state_dict().items() if not torch.equal(value, before[n])}
    assert {name.split(".")[1] for name in changed} == {"prior", "seen"}
    names = {name for name, p in task.model.named_parameters() if name.startswith("latent.prior")}
    assert names <= changed
    codes, labels = codes_of(task.model.eval(), task.data).read(range(40))
    assert torch.equal(codes.transpose(0, 1).float(), task.model.encode(task.data.images / 127.5 - 1))
    assert torch.equal(task.model.latent.seen, torch.tensor([14.0, 13, 13, 0]))
    rate = task.model.latent.nll(codes.transpose(0, 1), labels).mean()
    assert rate < before_stage_two(before, codes, labels)


def before_stage_two(state, codes, labels):
    model = FSVAE(MODEL)
    model.load_state_dict(state)
    return model.eval().latent.nll(codes.transpose(0, 1), labels).mean()


@pytest.mark.parametrize("name", ["averaged", pytest.param("plain", marks=long)])
@pytest.mark.parametrize("steps", [[10], [11], [2, 8, 1, 5], *(pytest.param([at], marks=long) for at in (3, 12, 14))])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, whole, name, steps):
    config = replace(RUN, ema=0.9) if name == "averaged" else RUN
    for i, at in enumerate(steps):
        outcome, _ = fit(tmp_path, config, resume=i > 0, at=at)
        assert (outcome.step, outcome.finished) == (sum(steps[: i + 1]), False)
    assert fit(tmp_path, config, resume=True)[0].finished
    for file in ("checkpoint.safetensors", "model.safetensors", "config.json"):
        assert (tmp_path / file).read_bytes() == (whole / name / file).read_bytes()


def test_a_resumed_run_of_an_earlier_version_takes_no_counts_of_other_clusters(tmp_path, monkeypatch):
    config = replace(RUN, model=replace(MODEL, latent=CLUSTERED))
    _, task = fit(tmp_path, config, at=12)  # in the stage of the prior
    assert task.model.latent.label_counts is not None
    tensors, metadata = checkpoint.read(tmp_path / "checkpoint.safetensors")
    del metadata["label_counts"]
    checkpoint.write(tmp_path / "checkpoint.safetensors", tensors, metadata)
    monkeypatch.setattr(escape, "find_centres", lambda codes, clusters: find_centres(codes, clusters).flip(0))
    _, resumed = fit(tmp_path, config, resume=True)
    assert resumed.model.latent.label_counts is None
    assert torch.equal(resumed.model.latent.centres, task.model.latent.centres)


@pytest.mark.parametrize("n", [1, 40])
def test_a_run_of_two_stages_tells_of_images_that_hardly_differ(tmp_path, n, capsys):
    data = MemoryImages("toy", "train", torch.full((n, 1, 32, 32), 200, dtype=torch.uint8), torch.zeros(n).long(), 3)
    latent = replace(ESCAPE, prior=replace(PRIOR, batch_size=min(n, 16)))
    config = replace(RUN, batch_size=min(n, 8), recalibrate=0, model=replace(MODEL, latent=latent))
    task = FSVAETask(config, data, toy(10, "test"))
    assert Trainer(task, config, RunFolder(tmp_path), callbacks=[Watch()]).fit().finished
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "the training images hardly differ" in line]) == 1
    assert not any("is no lower than" in line for line in lines)
    assert all(torch.isfinite(t).all() for t in task.model.state_dict().values())


def test_a_run_of_two_stages_tells_at_its_end_that_the_mean_image_does_as_well(tmp_path, capsys):
    task = FSVAETask(replace(RUN, lr=1e-9), toy(), toy(10, "test"))
    Trainer(task, replace(RUN, lr=1e-9), RunFolder(tmp_path), callbacks=[Watch()]).fit()
    lines = [line for line in capsys.readouterr().err.splitlines() if "is no lower than" in line]
    assert len(lines) == 1 and f"is no lower than {variance(toy()):.3g}, the error of the mean" in lines[0]


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=long)])
def test_half_precision_trains_both_stages(tmp_path, precision, monkeypatch):
    """By the reference: kernels of halves are another test's, and compiling them takes longer than to train."""
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    _, task = fit(tmp_path, replace(RUN, precision=precision))
    assert {t.dtype for t in task.model.state_dict().values() if t.is_floating_point()} == {torch.float32}
    rows = RunFolder(tmp_path, resume=True).read_metrics()
    nats = [row["prior_nats"] for row in rows if "prior_nats" in row]
    assert nats[-1] < nats[0]


def test_saving_memory_gives_the_same_weights(tmp_path, whole):
    _, task = fit(tmp_path, replace(RUN, save_memory=True))
    plain = load(whole / "plain").state_dict()
    assert all(torch.equal(t, plain[name]) for name, t in task.model.state_dict().items())


def test_the_first_stage_may_become_longer_until_it_is_over(tmp_path, capsys):
    fit(tmp_path / "early", replace(RUN, steps=5, schedule="constant"), at=5)
    outcome, _ = fit(tmp_path / "early", replace(RUN, schedule="constant"), resume=True)
    assert outcome.step == 17
    assert "the first stage has 10 steps now, 5 before; the later ones stay as they were" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"has finished its first stage, 10 steps: .* a new run .*\(--init-from "):
        fit(tmp_path / "early", replace(RUN, schedule="constant", steps=20), resume=True)


def test_the_saved_model_has_recalibrated_statistics(whole):
    for name in ("plain", "averaged"):
        model = load(whole / name)
        assert model.encoder.to_latent.norm.num_batches_tracked == 1  # 40 images are one batch
        before = {n: t.clone() for n, t in model.state_dict().items()}
        recalibrate(model, toy(), 40)
        assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items() if "joint" not in n)


def test_labels_are_dropped_in_training_only(model):
    z, labels = model.encode(images_of(6)), torch.zeros(6, dtype=torch.int64)
    sure = model.latent.stage_losses(z, labels, torch.Generator())["loss"]
    assert torch.equal(sure, model.latent.nll(z, labels).mean())
    given = []
    model.latent.train().prior.nll = lambda z, labels: given.append(labels) or torch.zeros(6)
    for seed in range(200):
        model.latent.stage_losses(z, labels, torch.Generator().manual_seed(seed))
    assert (torch.stack(given) == CLASSES).float().mean().item() == pytest.approx(0.15, abs=0.04)


@pytest.mark.parametrize("at", [0, 12])
def test_statistics_that_lag_are_told_of_after_the_prior_too(tmp_path, at, monkeypatch, capsys):
    """The last rows of such a run hold no error of the whole model in training mode."""
    monkeypatch.setattr(FSVAETask, "end_of_epoch", lambda self, epoch, run: {"test_mse": 100.0})
    Trainer(Interrupted(RUN, at), RUN, RunFolder(tmp_path), callbacks=[Watch()]).fit()
    if at:
        Trainer(Interrupted(RUN), RUN, RunFolder(tmp_path, resume=True), callbacks=[Watch()]).fit(resume=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("warning: test_mse 100 is ") and "running statistics of the batch norms lag" in last


@pytest.mark.parametrize(("guidance", "dropout", "told"), [(0.5, 0.0, True), (0.5, 0.15, False), (0.0, 0.0, False)])
def test_guidance_by_what_is_never_trained_is_told_of(tmp_path, guidance, dropout, told, capsys):
    latent = replace(ESCAPE, guidance=guidance, label_dropout=dropout)
    config = replace(
        RUN, steps=1, recalibrate=0, model=replace(MODEL, latent=replace(latent, prior=replace(PRIOR, steps=1)))
    )
    Trainer(FSVAETask(config, toy(), toy()), config, RunFolder(tmp_path), callbacks=[Watch()]).fit()
    assert ("warning: guidance 0.5 leads away from" in capsys.readouterr().err) == told


def test_one_image_has_no_statistics_to_recalibrate_by():
    one = replace(RUN, batch_size=1, model=replace(MODEL, latent=replace(ESCAPE, prior=replace(PRIOR, batch_size=1))))
    few = "1 training image, and statistics to recalibrate by need two; take more images, or set --recalibrate 0"
    for config, images, found in ((one, 1, "toy has"), (replace(one, limit=1), 9, "--limit leaves")):
        with pytest.raises(ValueError, match=f"{found} {few}"):
            FSVAETask(config, toy(images), toy(1))
    replace(one, recalibrate=0).check_images(1)


def test_the_classes_are_those_of_the_images():
    with pytest.raises(ValueError, match=r"the latent knows 4 classes, toy has 3; set --model.latent.classes 3"):
        FSVAETask(replace(RUN, model=replace(MODEL, latent=replace(ESCAPE, classes=4))), toy(), toy())
    with pytest.raises(ValueError, match=r"toy has no labels; set --model.latent.classes 0"):
        FSVAETask(RUN, toy(classes=None), toy(classes=None))


def test_a_checkpoint_says_both_stages(whole):
    metadata = checkpoint.read_metadata(whole / "plain" / "checkpoint.safetensors")
    assert metadata["training"]["model"]["latent"]["prior"]["steps"] == 7
    assert metadata["step"] == 17
