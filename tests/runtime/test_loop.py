import json
import signal
import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime import checkpoint, loop
from fsvae_tcja.runtime.loop import LoopConfig, fit, learning_rate
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.utils.configuration import to_dict
from fsvae_tcja.vae import Bernoulli, FSVAEConfig, TCJAConfig
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

TINY = FSVAEConfig(T=8, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5), tcja=TCJAConfig(encoder=(1,), decoder=(2,)))
STREAM = TrainConfig(data="toy", epochs=2, batch_size=8, lr=1e-2, log_every=3, flip=True, model=TINY)
PREFIX = replace(STREAM, flip=False, model=replace(TINY, latent=Bernoulli(3, "prefix", "kld")))


def toy(n, size=2, split="train"):
    images = torch.randint(0, 256, (n, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    return MemoryImages("toy", split, images, torch.arange(n), n)


class Toy:
    """One weight that goes to 0. Records what it is shown; `events` {step: function} happen at these steps."""

    def __init__(self, n=12, events=None):
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.model.weight)
        self.data = toy(n)
        self.events = events or {}
        self.seen = []
        self.evaluated = []
        self.training = []

    def losses(self, images, labels, epoch, generator):
        self.seen.append((epoch, labels.tolist()))
        self.training.append(self.model.training)
        step = len(self.seen)
        loss = self.model.weight.square().sum()
        if step in self.events:
            loss = self.events[step](loss)
        return {"loss": loss, "number": torch.tensor(float(step))}

    def end_of_epoch(self, epoch, run):
        self.evaluated.append((epoch, self.model.training))
        return {"test": float(epoch)}

    def metadata(self):
        return {"kind": "toy"}


def fit_toy(task, path, **settings):
    config = LoopConfig(**{"data": "toy", "epochs": 2, "batch_size": 4, "log_every": 2, **settings})
    return fit(task, config, to_dict(config), RunFolder(path))


class Interrupted(FSVAETask):
    """An FSVAE to whose training the process gets a signal during step `at`."""

    def __init__(self, config, *, at=0, number=signal.SIGINT):
        super().__init__(config, toy(40, 32), toy(10, 32, "test"))
        self.steps, self.at, self.number = 0, at, number

    def losses(self, images, labels, epoch, generator):
        self.steps += 1
        if self.steps == self.at:
            signal.raise_signal(self.number)
        return super().losses(images, labels, epoch, generator)


def fit_fsvae(config, path, resume=False, **interruption):
    task = Interrupted(config, **interruption)
    return fit(task, config, to_dict(config), RunFolder(path, resume), resume=resume)


def weights(path):
    return checkpoint.read(path / "model.safetensors", "model.")[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folders of uninterrupted runs: 2 epochs of 5 steps."""
    folder = tmp_path_factory.mktemp("whole")
    for name, config in (("stream", STREAM), ("prefix", PREFIX)):
        assert fit_fsvae(config, folder / name).finished
    return folder


# exact resumption


@pytest.mark.parametrize(
    ("name", "number", "steps"),
    [
        ("stream", signal.SIGINT, [1]),
        ("stream", signal.SIGTERM, [4]),
        ("stream", signal.SIGINT, [5]),  # the last step of the first epoch
        ("stream", signal.SIGINT, [2, 1, 3, 1]),
        ("prefix", signal.SIGINT, [7]),
    ],
)
def test_resumed_run_is_the_uninterrupted_one(tmp_path, whole, name, number, steps):
    config = {"stream": STREAM, "prefix": PREFIX}[name]
    for i, at in enumerate(steps):
        outcome = fit_fsvae(config, tmp_path, resume=i > 0, at=at, number=number)
        assert (outcome.step, outcome.trained, outcome.finished) == (sum(steps[: i + 1]), steps[i], False)
    outcome = fit_fsvae(config, tmp_path, resume=True)
    assert (outcome.step, outcome.finished) == (10, True)
    assert same(weights(tmp_path), weights(whole / name))
    for file in ("checkpoint.safetensors", "model.safetensors", "metrics.jsonl", "config.json"):
        assert (tmp_path / file).read_bytes() == (whole / name / file).read_bytes()
    for picture in (whole / name / "pictures").iterdir():
        assert (tmp_path / "pictures" / picture.name).read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_kept_once_after_the_first_step_if_asked(tmp_path, monkeypatch, keep):
    task, seen = Interrupted(STREAM, at=3), []
    monkeypatch.setattr(loop, "keep_freed_memory", lambda: seen.append(task.steps))
    for resume in (False, True):
        fit(task, STREAM, to_dict(STREAM), RunFolder(tmp_path, resume), resume=resume, keep_memory=keep)
    assert seen == ([1, 4] if keep else [])


def test_interruption_in_the_last_step_finishes_the_run(tmp_path, whole):
    outcome = fit_fsvae(STREAM, tmp_path, at=10)
    assert (outcome.step, outcome.finished) == (10, True)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole / "stream" / "metrics.jsonl").read_bytes()


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    fit_fsvae(replace(STREAM, epochs=1), tmp_path)
    files = ("checkpoint.safetensors", "model.safetensors", "metrics.jsonl", "config.json")
    before = [(tmp_path / file).read_bytes() for file in files]
    assert fit_fsvae(replace(STREAM, epochs=1), tmp_path, resume=True).finished
    assert [(tmp_path / file).read_bytes() for file in files] == before


def test_a_run_killed_between_its_checkpoints_goes_back_to_the_last(tmp_path, whole):
    """The rows logged after the checkpoint are dropped and written again once."""
    fit_fsvae(STREAM, tmp_path, at=3)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "epoch": 1, "loss": 9.0}\n{"step": 6, "ep')
    fit_fsvae(STREAM, tmp_path, resume=True)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole / "stream" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"flip": False},
        {"model": replace(TINY, latent=Bernoulli(3, scheduled_sampling=False))},
        {"seed": 1},
        {"model": replace(TINY, latent=Bernoulli(3, distance="kld"))},
    ],
)
def test_every_source_of_randomness_reaches_the_weights(tmp_path, whole, change):
    """So that the equality above says something of each."""
    fit_fsvae(replace(STREAM, **change), tmp_path)
    assert not same(weights(tmp_path), weights(whole / "stream"))


def test_the_global_generator_is_neither_used_nor_moved(tmp_path, whole):
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    fit_fsvae(STREAM, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(weights(tmp_path), weights(whole / "stream"))


# what may not be resumed


def test_another_configuration_is_refused_and_its_keys_named(tmp_path):
    fit_fsvae(STREAM, tmp_path, at=1)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    other = replace(STREAM, lr=0.5, betas=(0.8, 0.999), model=replace(TINY, T=9))
    expected = (
        r"was trained with another configuration \(betas: \[0.9, 0.999\] there, \[0.8, 0.999\] here, "
        r"lr: 0.01 there, 0.5 here, model.T: 8 there, 9 here\); resume it without changes"
    )
    with pytest.raises(ValueError, match=expected):
        fit_fsvae(other, tmp_path, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_model_without_optimizer_is_no_checkpoint_of_a_run(tmp_path):
    fit_fsvae(STREAM, tmp_path, at=1)
    (tmp_path / "model.safetensors").replace(tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="holds a model and no optimizer: it is not the checkpoint of a run"):
        fit_fsvae(STREAM, tmp_path, resume=True)


def test_fewer_images_than_one_batch(tmp_path):
    with pytest.raises(ValueError, match="toy has 3 training images, fewer than one batch of 4; use a smaller batch"):
        fit_toy(Toy(n=3), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_single_batch(tmp_path):
    task = Toy(n=4)
    assert fit_toy(task, tmp_path, epochs=1).step == 1
    assert sorted(task.seen[0][1]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, found 0"),
        ({"batch_size": 0}, "batch_size must be >= 1, found 0"),
        ({"log_every": 0}, "log_every must be >= 1, found 0"),
        ({"lr": 0.0}, "lr must be > 0, found 0.0"),
        ({"lr": float("nan")}, "lr must be > 0, found nan"),
        ({"weight_decay": -1.0}, "weight_decay must be >= 0, found -1.0"),
        ({"seed": -1}, r"seed must be in 0\.\.2\^63 - 1, found -1"),
        ({"seed": 2**63}, r"seed must be in 0\.\.2\^63 - 1"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        LoopConfig(**change)


# order


def test_each_epoch_covers_every_image_once_in_another_order(tmp_path):
    task = Toy(n=12)
    fit_toy(task, tmp_path, epochs=3)
    orders = [[label for e, labels in task.seen if e == epoch for label in labels] for epoch in range(3)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert len({tuple(order) for order in [*orders, range(12)]}) == 4


def test_order_belongs_to_the_seed(tmp_path):
    tasks = [Toy(), Toy(), Toy()]
    for i, (task, seed) in enumerate(zip(tasks, (7, 7, 8), strict=True)):
        fit_toy(task, tmp_path / str(i), seed=seed)
    assert tasks[0].seen == tasks[1].seen != tasks[2].seen


def test_a_last_smaller_batch_is_left_out(tmp_path):
    task = Toy(n=11)
    assert fit_toy(task, tmp_path, epochs=2).step == 4
    for epoch in range(2):
        shown = [label for e, labels in task.seen if e == epoch for label in labels]
        assert len(set(shown)) == len(shown) == 8


def test_modes_of_the_model(tmp_path):
    task = Toy()
    fit_toy(task, tmp_path)
    assert task.training == [True] * 6
    assert task.evaluated == [(1, False), (2, False)]


# rows


def test_rows_are_means_over_the_steps_since_the_last(tmp_path):
    task = Toy(n=20)  # 5 steps an epoch
    fit_toy(task, tmp_path, log_every=3)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["epoch"], row["number"]) for row in rows if "number" in row] == [
        (3, 1, 2.0),  # 1 2 3
        (5, 1, 4.5),  # 4 5: an epoch ends
        (6, 2, 6.0),  # 6
        (9, 2, 8.0),  # 7 8 9
        (10, 2, 10.0),
    ]
    assert [row for row in rows if "number" not in row] == [
        {"step": 5, "epoch": 1, "test": 1.0},
        {"step": 10, "epoch": 2, "test": 2.0},
    ]


def test_a_row_holds_the_loss_that_was_minimised(tmp_path):
    fit_toy(Toy(n=4), tmp_path, epochs=3, log_every=1, lr=0.1, weight_decay=0.0)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    # AdamW's first steps on a gradient of steady sign are lr each: the weight is 1, 0.9, 0.8
    assert [row["loss"] for row in rows if "loss" in row] == pytest.approx([1, 0.81, 0.64], rel=1e-2)


# losses that are not finite


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    whole = Toy()
    fit_toy(whole, tmp_path / "whole", epochs=1)
    with pytest.raises(ValueError, match=r"loss is not finite at step 6; .* sound\. Lower the learning rate"):
        fit_toy(Toy(events={5: lambda loss: loss * float("nan")}), tmp_path / "run")
    saved, metadata = checkpoint.read(tmp_path / "run" / "checkpoint.safetensors", "model.")
    assert metadata["step"] == 3
    assert same(saved, weights(tmp_path / "whole"))


def test_an_interruption_does_not_save_what_is_not_finite(tmp_path):
    def spoil(loss):
        signal.raise_signal(signal.SIGINT)
        return loss * float("nan")

    with pytest.raises(ValueError, match=r"model\.weight is not finite at step 5"):
        fit_toy(Toy(events={5: spoil}), tmp_path, log_every=10)
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 3
    assert bool(weights(tmp_path)["weight"].isfinite())


def test_a_gradient_that_is_not_finite_stops_before_the_evaluation(tmp_path):
    task = Toy(events={3: lambda loss: (loss - loss.detach()).sqrt()})  # 0, with the gradient inf
    with pytest.raises(ValueError, match="weight is not finite at step 3"):
        fit_toy(task, tmp_path)
    assert task.evaluated == []
    assert not (tmp_path / "checkpoint.safetensors").exists()


# signals


def test_handlers_are_restored(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    fit_fsvae(replace(STREAM, epochs=1), tmp_path, at=1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_interruption_stops_at_once(tmp_path):
    def twice(loss):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit_toy(Toy(events={4: twice}), tmp_path)
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 3


def test_training_in_a_thread(tmp_path):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(fit_toy(Toy(), tmp_path)))
    thread.start()
    thread.join()
    assert outcomes[0].finished


# Learning rate


def test_cosine_goes_from_lr_down_to_zero():
    config = LoopConfig(epochs=4, lr=0.2, schedule="cosine")
    rates = [learning_rate(config, epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.2, 0.1 * (1 + 0.5**0.5), 0.1, 0.1 * (1 - 0.5**0.5), 0])
    assert learning_rate(replace(config, schedule="constant"), 3) == 0.2


def test_the_schedule_reaches_the_optimizer(tmp_path):
    weights = {}
    for schedule in ("constant", "cosine"):
        for epochs in (1, 2):
            task = Toy()
            fit_toy(
                task, tmp_path / f"{schedule}-{epochs}", epochs=epochs, schedule=schedule, lr=0.01, weight_decay=0.0
            )
            weights[schedule, epochs] = task.model.weight.item()
    assert weights["cosine", 1] == weights["constant", 1]  # the first epoch has the whole rate
    second = {name: weights[name, 1] - weights[name, 2] for name in ("constant", "cosine")}
    assert second["cosine"] == pytest.approx(second["constant"] / 2, rel=0.02)  # Adam moves by the rate


def test_unknown_schedules_are_refused():
    with pytest.raises(ValueError, match=r"schedule must be one of \['constant', 'cosine'\], found 'step'"):
        LoopConfig(schedule="step")
