import json
import math
import shutil
import signal
import threading
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from fsvae_tcja.core.precision import emulated
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime import callbacks, checkpoint
from fsvae_tcja.runtime.callbacks import Callback, KeepMemory, compiles
from fsvae_tcja.runtime.config import TrainerConfig
from fsvae_tcja.runtime.remarks import remarks
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.schedule import factor
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae.config import FSVAEConfig, TCJAConfig
from fsvae_tcja.vae.latent import Bernoulli
from fsvae_tcja.vae.train import FSVAETask, TrainConfig
from tests.conftest import long
from tests.curves import undrawn

TINY = FSVAEConfig(T=8, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5), tcja=TCJAConfig(encoder=(1,), decoder=(2,)))
STREAM = TrainConfig(data="toy", epochs=2, batch_size=8, lr=1e-2, log_every=3, flip=True, model=TINY)


def with_latent(config, **settings):
    """The configuration with other settings of its latent."""
    return replace(config, model=replace(config.model, latent=replace(config.model.latent, **settings)))


PREFIX = with_latent(replace(STREAM, flip=False), distance="kld", sampling="prefix")
PLAIN = with_latent(STREAM, scheduled_sampling=False)


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
        return {"loss": loss, "number": torch.tensor(float(step)), "weight": self.model.weight.detach().sum()}

    def end_of_epoch(self, epoch, run):
        self.evaluated.append((epoch, self.model.training))
        return {"test": float(epoch)}

    def metadata(self):
        return {"kind": "toy"}


def trainer(task, path, resume=False, callbacks=(), loss=None, order=None, init_from=None, **settings):
    config = TrainerConfig(**{"data": "toy", "epochs": 2, "batch_size": 4, "log_every": 2, **settings})
    given = {"callbacks": callbacks, "loss": loss, "order": order, "init_from": init_from}
    return Trainer(task, config, RunFolder(path, resume), **given)


def fit_toy(task, path, **given):
    return trainer(task, path, **given).fit(given.get("resume", False))


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


def fit_fsvae(config, path, resume=False, drawn=False, **interruption):
    """`drawn`: with its picture of curves."""
    task = Interrupted(config, **interruption)
    with nullcontext() if drawn else undrawn():
        return Trainer(task, config, RunFolder(path, resume)).fit(resume)


def weights(path):
    return checkpoint.read(path / "model.safetensors", "model.")[0]


def rows_of(path):
    """The rows of metrics without what a clock says."""
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in RunFolder(path, True).read_metrics()]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run: 2 epochs of 5 steps."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert fit_fsvae(STREAM, folder, drawn=True).finished
    return folder


@pytest.fixture(scope="module")
def whole_plain(tmp_path_factory):
    """The same of PLAIN."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert fit_fsvae(PLAIN, folder).finished
    return folder


# exact resumption


@pytest.mark.parametrize(
    ("number", "steps"),
    [
        pytest.param(signal.SIGINT, [1], marks=long),
        pytest.param(signal.SIGTERM, [4], marks=long),
        pytest.param(signal.SIGINT, [5], marks=long),
        (signal.SIGTERM, [2, 1, 2, 1]),  # the third is the last step of the first epoch
    ],
)
def test_resumed_run_is_the_uninterrupted_one(tmp_path, whole, number, steps):
    check_resumed(STREAM, tmp_path, whole, number, steps, drawn=True)
    assert {picture.stem for picture in (whole / "pictures").iterdir()} > {"curves"}


def test_resumed_run_with_statistics_of_the_batch_is_the_uninterrupted_one(tmp_path):
    fit_fsvae(PREFIX, tmp_path / "whole")
    check_resumed(PREFIX, tmp_path / "parts", tmp_path / "whole", signal.SIGINT, [7])


def check_resumed(config, path, whole, number, steps, drawn=False):
    for i, at in enumerate(steps):
        outcome = fit_fsvae(config, path, resume=i > 0, drawn=drawn, at=at, number=number)
        assert (outcome.step, outcome.trained, outcome.finished) == (sum(steps[: i + 1]), steps[i], False)
    outcome = fit_fsvae(config, path, resume=True, drawn=drawn)
    assert (outcome.step, outcome.finished) == (10, True)
    assert same(weights(path), weights(whole))
    for file in ("checkpoint.safetensors", "model.safetensors", "config.json"):
        assert (path / file).read_bytes() == (whole / file).read_bytes()
    assert rows_of(path) == rows_of(whole)
    for picture in (whole / "pictures").iterdir():
        assert (path / "pictures" / picture.name).read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_kept_once_after_the_first_step_if_asked(tmp_path, monkeypatch, keep):
    task, seen = Interrupted(STREAM, at=3), []
    monkeypatch.setattr(callbacks, "keep_freed_memory", lambda: seen.append(task.steps))
    for resume in (False, True):
        accompanied = [KeepMemory()] if keep else []
        with undrawn():
            Trainer(task, STREAM, RunFolder(tmp_path, resume), callbacks=accompanied).fit(resume)
    assert seen == ([1, 4] if keep else [])


def test_interruption_in_the_last_step_finishes_the_run(tmp_path, whole):
    outcome = fit_fsvae(STREAM, tmp_path, at=10)
    assert (outcome.step, outcome.finished) == (10, True)
    assert rows_of(tmp_path) == rows_of(whole)


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
    assert rows_of(tmp_path) == rows_of(whole)


@pytest.mark.parametrize(
    "changed", [replace(STREAM, flip=False), PLAIN, replace(STREAM, seed=1), with_latent(STREAM, distance="kld")]
)
def test_every_source_of_randomness_reaches_the_weights(tmp_path, whole, changed):
    """So that the equality above says something of each."""
    fit_fsvae(changed, tmp_path)
    assert not same(weights(tmp_path), weights(whole))


def test_the_global_generator_is_neither_used_nor_moved(tmp_path, whole):
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    fit_fsvae(STREAM, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(weights(tmp_path), weights(whole))


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
        ({"evaluate_every": 0}, "evaluate_every must be >= 1, found 0"),
        ({"lr": 0.0}, "lr must be > 0, found 0.0"),
        ({"lr": float("nan")}, "lr must be > 0, found nan"),
        ({"weight_decay": -1.0}, "weight_decay must be >= 0, found -1.0"),
        ({"seed": -1}, r"seed must be in 0\.\.2\^63 - 1, found -1"),
        ({"seed": 2**63}, r"seed must be in 0\.\.2\^63 - 1"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        TrainerConfig(**change)


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, []),
        ({"tf32": True}, ["--tf32 has no effect on the device cpu"]),
        ({"tf32": True, "graph": True}, ["--tf32 and --graph have no effect on the device cpu"]),
    ],
)
def test_what_only_a_gpu_has_is_named_once_and_changes_nothing(tmp_path, capfd, settings, lines):
    fit_toy(Toy(), tmp_path / "plain")
    capfd.readouterr()
    fit_toy(Toy(), tmp_path / "run", **settings)
    said = capfd.readouterr()
    assert [line for line in (said.out + said.err).splitlines() if "no effect" in line] == lines
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "run"))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("has", ["avx2", "avx512_bf16", "amx_fp16"])
def test_a_precision_that_the_cpu_lacks_is_told(tmp_path, capfd, monkeypatch, precision, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", has: True}, raising=False)
    fit_toy(Toy(), tmp_path / "run", precision=precision)
    said = capfd.readouterr()
    lacks = precision != "fp32" and precision not in has
    assert (f"this CPU has no instructions for {precision}" in said.out + said.err) == lacks


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_what_a_cpu_lacks_is_not_told_of_a_gpu(monkeypatch, device):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64"}, raising=False)
    assert not list(remarks(TrainerConfig(precision="bf16"), torch.device(device)))
    assert list(remarks(TrainerConfig(precision="bf16"), torch.device("cpu")))


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="this PyTorch does not tell")
@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="no /proc/cpuinfo to compare with")
def test_emulated_is_what_the_flags_of_this_cpu_say():
    flags = Path("/proc/cpuinfo").read_text()
    if "flags" not in flags:
        pytest.skip("no x86")
    assert ("bf16" in emulated()) == (not any(f in flags for f in ("avx512_bf16", "amx_bf16", "avx_ne_convert")))


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


def test_evaluations_may_be_rarer_than_epochs(tmp_path):
    task = Toy()
    fit_toy(task, tmp_path, epochs=5, evaluate_every=2)
    assert [epoch for epoch, _ in task.evaluated] == [2, 4, 5]


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


# learning rate


def rates(total=9, **settings):
    return [factor(TrainerConfig(**settings), step, total) for step in range(total)]


def test_the_rate_of_every_step():
    assert rates() == [1.0] * 9
    assert rates(schedule="cosine") == pytest.approx(
        [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(9)], abs=1e-12
    )
    assert rates(schedule="cosine")[-1] == 0
    assert rates(warmup=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]
    assert rates(warmup=4, schedule="cosine") == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 0.853553, 0.5, 0.146447, 0], abs=1e-6
    )
    assert rates(total=1, schedule="cosine") == [1]
    assert rates(total=3, warmup=9, schedule="cosine") == pytest.approx([1 / 9, 2 / 9, 3 / 9])


@pytest.mark.parametrize("at", [0, 2, 3, 5])
def test_the_rates_reach_the_optimizer_and_the_rows_also_when_resumed(tmp_path, at):
    settings = {"lr": 0.01, "weight_decay": 0.0, "log_every": 1, "warmup": 2, "schedule": "cosine"}
    task = Toy(events={at: signalled})
    if at:
        assert not fit_toy(task, tmp_path, **settings).finished
    fit_toy(task, tmp_path, resume=at > 0, **settings)
    rows = [row for row in rows_of(tmp_path) if "loss" in row]
    expected = [0.01 * factor(TrainerConfig(**settings), step, 6) for step in range(6)]
    assert [row["lr"] for row in rows] == expected
    moved = [row["weight"] for row in rows] + [task.model.weight.item()]
    steps = [before - after for before, after in pairwise(moved)]
    assert steps == pytest.approx(expected, rel=0.05)  # Adam moves by the rate


def signalled(loss):
    signal.raise_signal(signal.SIGINT)
    return loss


def test_a_first_fp16_step_that_overflows_warns_of_nothing(tmp_path, recwarn):
    fit_toy(Toy(events={1: lambda loss: loss * 1e38}), tmp_path, precision="fp16")
    assert not [str(w.message) for w in recwarn if "lr_scheduler" in str(w.message)]


# clipping, accumulation, averaging


class Regression(Toy):
    """Weights that are fitted to the numbers of the images: a loss that is a mean over the batch."""

    def __init__(self, n=12, **_):
        super().__init__(n)
        torch.manual_seed(0)
        self.model = nn.Linear(4, 1)
        self.parts = []
        self.gradients = []

    def losses(self, images, labels, epoch, generator):
        self.parts.append(len(images))
        error = self.model(images.flatten(1) / 255).squeeze(1) - labels.float()
        return {"loss": error.square().mean()}


@pytest.mark.parametrize(("accumulate", "parts"), [(2, [2, 2]), (3, [2, 2]), (4, [1, 1, 1, 1])])
def test_a_batch_in_parts_is_the_whole_batch(tmp_path, accumulate, parts):
    whole, split = Regression(), Regression()
    fit_toy(whole, tmp_path / "whole")
    fit_toy(split, tmp_path / "split", accumulate=accumulate)
    assert split.parts == parts * 6
    torch.testing.assert_close(split.model.state_dict(), whole.model.state_dict(), rtol=1e-5, atol=1e-6)
    for a, b in zip(rows_of(tmp_path / "whole"), rows_of(tmp_path / "split"), strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_a_long_gradient_is_scaled_down(tmp_path):
    lengths = []

    class Look(Callback):
        def step(self, trainer, losses):
            lengths.append(torch.cat([p.grad.flatten() for p in trainer.task.model.parameters()]).norm().item())

    fit_toy(Regression(), tmp_path / "free", callbacks=[Look()])
    free, lengths[:] = list(lengths), []
    fit_toy(Regression(), tmp_path / "clipped", callbacks=[Look()], clip=0.5)
    assert min(free) > 0.5 and lengths == pytest.approx([0.5] * 6, rel=1e-4)
    fit_toy(Regression(), tmp_path / "loose", clip=1e6)
    assert same(weights(tmp_path / "free"), weights(tmp_path / "loose"))


class Recorded(Callback):
    def __init__(self):
        self.weights = []

    def step(self, trainer, losses):
        self.weights.append({n: t.detach().clone() for n, t in trainer.task.model.state_dict().items()})


class Normed(Regression):
    """With a batch norm, whose statistics and counter are state."""

    def __init__(self, n=12, **more):
        super().__init__(n)
        self.model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), self.model)
        self.shown = []

    def losses(self, images, labels, epoch, generator):
        return {"loss": (self.model(images / 255).squeeze(1) - labels.float()).square().mean()}

    def end_of_epoch(self, epoch, run):
        self.shown.append({n: t.clone() for n, t in self.model.state_dict().items()})
        return super().end_of_epoch(epoch, run)


def test_averaged_weights_are_evaluated_and_saved_and_the_last_ones_kept(tmp_path):
    task, seen, plain = Normed(), Recorded(), Normed()
    expected = {n: t.clone() for n, t in task.model.state_dict().items()}
    fit_toy(task, tmp_path / "run", ema=0.5, lr=0.1, callbacks=[seen])
    for step, state in enumerate(seen.weights, 1):
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in state.items():
            average = decay * expected[name] + (1 - decay) * tensor
            expected[name] = average if tensor.is_floating_point() else tensor
        if step == 3:
            torch.testing.assert_close(task.shown[0], expected)
    torch.testing.assert_close(weights(tmp_path / "run"), expected)
    assert same(task.shown[1], weights(tmp_path / "run"))
    assert same(task.model.state_dict(), weights(tmp_path / "run"))
    assert not torch.equal(expected["2.weight"], seen.weights[-1]["2.weight"])
    # the training itself is that without averages
    fit_toy(plain, tmp_path / "plain", lr=0.1)
    assert same(checkpoint.read(tmp_path / "run" / "checkpoint.safetensors", "model.")[0], weights(tmp_path / "plain"))


def test_everything_together_resumes_bit_for_bit(tmp_path):
    config = replace(STREAM, ema=0.9, warmup=3, schedule="cosine", clip=0.1, accumulate=2, limit=32, batch_size=6)
    assert fit_fsvae(config, tmp_path / "whole").finished
    for i, at in enumerate((4 * 2, 3 * 2 + 1)):  # a batch is two calls
        fit_fsvae(config, tmp_path / "parts", resume=i > 0, at=at)
    assert fit_fsvae(config, tmp_path / "parts", resume=True).step == 10
    for file in ("checkpoint.safetensors", "model.safetensors", "config.json"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")


# length


def test_steps_instead_of_epochs(tmp_path):
    task = Toy()  # 3 steps an epoch
    assert fit_toy(task, tmp_path, steps=4).step == 4
    assert task.evaluated == [(1, False), (2, False)]
    assert [row["step"] for row in rows_of(tmp_path) if "test" in row] == [3, 4]
    assert TrainerConfig(steps=4, batch_size=4).total_epochs(13) == 2


def test_limited_images_are_the_same_in_every_run(tmp_path):
    tasks = [Toy(), Toy(), Toy()]
    for i, (task, seed) in enumerate(zip(tasks, (0, 1, 0), strict=True)):
        fit_toy(task, tmp_path / str(i), limit=8, seed=seed)
    shown = [{label for _, labels in task.seen for label in labels} for task in tasks]
    assert shown[0] == shown[1] and len(shown[0]) == 8
    assert tasks[0].seen == tasks[2].seen != tasks[1].seen
    assert fit_toy(Toy(), tmp_path / "more", limit=100).step == 6
    assert read_images(tmp_path / "0") == 8


def read_images(path):
    return checkpoint.read_metadata(path / "checkpoint.safetensors")["images"]


@pytest.mark.parametrize("first", [pytest.param({"epochs": 1}, marks=long), {"steps": 5}, {"epochs": 1, "at": 3}])
def test_a_longer_run_is_as_if_it_had_been_long_from_the_start(tmp_path, whole_plain, first, capsys):
    first = dict(first)
    at = first.pop("at", 0)
    fit_fsvae(replace(PLAIN, **first), tmp_path, at=at)
    capsys.readouterr()
    assert fit_fsvae(PLAIN, tmp_path, resume=True).step == 10
    assert "the run has 10 steps now, 5 before" in capsys.readouterr().err
    for file in ("checkpoint.safetensors", "model.safetensors", "config.json"):
        assert (tmp_path / file).read_bytes() == (whole_plain / file).read_bytes()
    assert rows_of(tmp_path) == rows_of(whole_plain)


def test_a_run_that_ended_within_an_epoch_goes_on_to_the_same_weights(tmp_path, whole_plain):
    fit_fsvae(replace(PLAIN, steps=7), tmp_path)
    fit_fsvae(PLAIN, tmp_path, resume=True)
    assert same(weights(tmp_path), weights(whole_plain))


def test_what_is_stretched_to_another_length_is_said(tmp_path, capsys):
    fit_fsvae(replace(STREAM, epochs=1, schedule="cosine"), tmp_path)
    capsys.readouterr()
    fit_fsvae(replace(STREAM, schedule="cosine"), tmp_path, resume=True)
    said = capsys.readouterr().err
    assert "the cosine of the learning rate and the probability of scheduled sampling: stretched to the new" in said
    assert "(learning rate 0 -> 0.00413)" in said and "not that of a run that had this length from the start" in said


def test_a_run_cannot_become_shorter_than_it_is(tmp_path, whole_plain):
    shutil.copytree(whole_plain, tmp_path, dirs_exist_ok=True)
    with pytest.raises(ValueError, match="has done 10 steps of 5 an epoch, more than the 5 asked for; ask for more"):
        fit_fsvae(replace(PLAIN, epochs=1), tmp_path, resume=True)


def test_a_run_of_a_version_that_knew_fewer_settings_is_resumed(tmp_path, whole):
    fit_fsvae(STREAM, tmp_path, at=3)
    path = tmp_path / "checkpoint.safetensors"
    tensors, metadata = checkpoint.read(path)
    for name in ("steps", "limit", "warmup", "clip", "accumulate", "ema"):
        del metadata["training"][name]
    checkpoint.write(path, tensors, metadata)
    fit_fsvae(STREAM, tmp_path, resume=True)
    assert same(weights(tmp_path), weights(whole))


# other weights, losses, orders and callbacks


def test_a_run_that_starts_from_anothers_weights(tmp_path):
    fit_toy(Toy(), tmp_path / "first")
    before = weights(tmp_path / "first")["weight"].item()
    for name, source in (("folder", tmp_path / "first"), ("file", tmp_path / "first" / "model.safetensors")):
        seen = Recorded()
        fit_toy(Toy(), tmp_path / name, init_from=source, lr=1e-9, weight_decay=0.0, callbacks=[seen])
        assert seen.weights[0]["weight"].item() == pytest.approx(before, abs=1e-6)
        record = checkpoint.read_metadata(tmp_path / name / "model.safetensors")["init_from"]
        assert record["file"] == str(tmp_path / "first" / "model.safetensors")
        assert record["step"] == 6 and isinstance(record["crc32"], int)


def test_the_record_of_the_first_weights_survives_an_interruption(tmp_path):
    fit_toy(Toy(), tmp_path / "first")
    fit_toy(Toy(events={2: signalled}), tmp_path / "run", init_from=tmp_path / "first")
    fit_toy(Toy(), tmp_path / "run", resume=True)
    metadata = checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors")
    assert metadata["step"] == 6 and metadata["init_from"]["step"] == 6


def test_weights_that_do_not_fit_are_refused(tmp_path):
    fit_toy(Toy(), tmp_path / "first")
    with pytest.raises(ValueError, match=r"model\.safetensors holds a 'toy', expected 'fsvae'"):
        Trainer(Interrupted(STREAM), STREAM, RunFolder(tmp_path / "run"), init_from=tmp_path / "first")
    with pytest.raises(ValueError, match=r"weight has shape \[1, 1\], the model \[1, 4\]"):
        fit_toy(Regression(), tmp_path / "run", init_from=tmp_path / "first")
    assert not (tmp_path / "run").exists()


def test_a_loss_of_ones_own(tmp_path):
    task = Toy()
    fit_toy(task, tmp_path / "scalar", loss=lambda task, batch: -task.model.weight.sum())
    assert task.model.weight.item() > 1 and not task.seen
    rows = rows_of(tmp_path / "scalar")
    assert rows[0].keys() == {"step", "epoch", "lr", "loss"}

    def more(task, batch):
        losses = task.losses(*batch)
        assert batch.images.dtype == torch.uint8 and batch.epoch in (0, 1)
        return losses | {"loss": 2 * losses["loss"], "plain": losses["loss"]}

    fit_toy(Toy(), tmp_path / "more", loss=more)
    assert all(row["loss"] == pytest.approx(2 * row["plain"]) for row in rows_of(tmp_path / "more") if "loss" in row)
    with pytest.raises(ValueError, match=r"""losses must hold "loss", which is minimised; found \['mse'\]"""):
        fit_toy(Toy(), tmp_path / "none", loss=lambda task, batch: {"mse": task.model.weight.sum()})


def test_an_order_of_ones_own_shows_a_last_smaller_batch_and_resumes(tmp_path):
    task = Toy(events={2: signalled})
    order = lambda epoch: torch.tensor([5, 1, 3, 0, 2, 7 + epoch])  # noqa: E731
    fit_toy(task, tmp_path, order=order)
    assert fit_toy(task, tmp_path, order=order, resume=True).step == 4
    assert task.seen == [(0, [5, 1, 3, 0]), (0, [2, 7]), (1, [5, 1, 3, 0]), (1, [2, 8])]


class Counting(Callback):
    """Counts steps, over interruptions, and notes what it is called with."""

    def __init__(self):
        self.n, self.calls = 0, []

    def start(self, trainer):
        self.calls.append(("start", trainer.step))

    def step(self, trainer, losses):
        self.n += 1
        self.sum = losses["number"] * self.n

    def epoch_end(self, trainer, figures):
        self.calls.append(("epoch", trainer.epoch, dict(figures), trainer.task.model.training))

    def state(self):
        return {"n": self.n, "sum": self.sum}

    def restore(self, state):
        self.n, self.sum = state["n"], state["sum"]

    def end(self, trainer):
        self.calls.append(("end", trainer.step))


def test_a_callback_keeps_its_state_in_the_checkpoint(tmp_path):
    first, second = Counting(), Counting()
    fit_toy(Toy(events={4: signalled}), tmp_path, callbacks=[first])
    fit_toy(Toy(), tmp_path, callbacks=[second], resume=True)
    assert first.calls == [("start", 0), ("epoch", 1, {"test": 1.0}, False), ("end", 4)]
    assert second.calls == [("start", 4), ("epoch", 2, {"test": 2.0}, False), ("end", 6)]
    assert second.n == 6 and second.sum.item() == 6 * 2  # the task's own number starts again


def test_the_state_of_a_callback_may_be_infinite(tmp_path):
    class Least(Callback):
        best = torch.tensor(float("inf"))

        def state(self):
            return {"best": self.best}

        def restore(self, state):
            self.best = state["best"]

    fit_toy(Toy(events={4: signalled}), tmp_path, callbacks=[Least()])
    again = Least()
    again.best = torch.tensor(0.0)
    assert fit_toy(Toy(), tmp_path, callbacks=[again], resume=True).finished and again.best.isinf()


def test_callbacks_of_one_class_keep_their_states_apart(tmp_path):
    with pytest.raises(ValueError, match="two callbacks keep their state under 'Counting'; give one of them a name"):
        fit_toy(Toy(), tmp_path, callbacks=[Counting(), Counting()])
    first, second = Counting(), Counting()
    second.name, second.n = "second", 10
    fit_toy(Toy(events={4: signalled}), tmp_path, callbacks=[first, second])
    again, other = Counting(), Counting()
    other.name = "second"
    fit_toy(Toy(), tmp_path, callbacks=[again, other], resume=True)
    assert (again.n, other.n) == (6, 16)


def test_a_callback_can_interrupt_and_is_told_of_the_end_of_a_failure(tmp_path):
    class Stop(Counting):
        def step(self, trainer, losses):
            super().step(trainer, losses)
            if self.n == 2:
                trainer.interrupt()

    assert fit_toy(Toy(), tmp_path / "run", callbacks=[Stop()]).step == 2
    failed = Counting()
    with pytest.raises(ValueError, match="not finite"):
        fit_toy(Toy(events={1: lambda loss: loss * float("nan")}), tmp_path / "nan", callbacks=[failed])
    assert failed.calls[-1] == ("end", 2)


# what is shown


def test_rows_hold_the_speed_of_what_came_after_the_first_step(tmp_path):
    fit_toy(Toy(n=20), tmp_path, epochs=1, log_every=1)
    rows = [row for row in RunFolder(tmp_path, True).read_metrics() if "loss" in row]
    assert "images_per_second" not in rows[0]
    assert all(row["images_per_second"] > 0 for row in rows[1:])


def test_a_line_for_each_epoch_off_a_terminal(tmp_path, capsys):
    fit_toy(Toy(), tmp_path)
    assert capsys.readouterr().err.splitlines() == ["epoch 1/2: test 1", "epoch 2/2: test 2"]


def test_compiling_is_said_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(callbacks, "_compiled", set())
    monkeypatch.setattr(callbacks, "compiles", lambda trainer: True)
    for name in ("a", "b"):
        fit_toy(Toy(), tmp_path / name)
        assert ("compiling kernels" in capsys.readouterr().err) == (name == "a")


@pytest.mark.parametrize(("backend", "compiling"), [("cpu", True), ("reference", False)])
def test_what_compiles_in_the_first_step(tmp_path, monkeypatch, backend, compiling):
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", backend)
    assert compiles(Trainer(Interrupted(STREAM), STREAM, RunFolder(tmp_path))) == compiling
    assert not compiles(trainer(Toy(), tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "step"}, r"schedule must be one of \['constant', 'cosine'\], found 'step'"),
        ({"precision": "fp8"}, r"precision must be one of \['fp32', 'bf16', 'fp16'\], found 'fp8'"),
        ({"ema": 1.0}, r"ema must be in \[0, 1\), found 1.0; 0 keeps no average"),
        ({"clip": float("nan")}, "clip must be >= 0, found nan"),
        ({"warmup": -1}, "warmup must be >= 0, found -1"),
        ({"steps": -1}, "steps must be >= 0"),
        ({"limit": -1}, "limit must be >= 0"),
        ({"accumulate": 0}, "accumulate must be >= 1, found 0"),
        ({"accumulate": 300}, "accumulate must be <= batch_size, one image per part, found 300 > 250"),
    ],
)
def test_unknown_settings_of_the_optimiser_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainerConfig(**change)
