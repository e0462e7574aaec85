import itertools
import json
import re
import signal
from dataclasses import replace

import pytest
import torch

from classifiers import checkpoint
from classifiers.accuracy import Evaluation, ends_in_spikes, evaluate, predict, ranking
from classifiers.augment import Augment
from classifiers.config import ClassifierConfig
from classifiers.data import load_split
from classifiers.model import SpikingClassifier
from classifiers.presets import PRESETS
from classifiers.results import as_text, write_results
from classifiers.train import ClassifierTask, TrainConfig, callbacks
from fsvae_tcja.data import MemoryImages, Subset, time_first, to_input
from fsvae_tcja.runtime.checkpoint import read, read_metadata, write
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.configuration import from_dict, to_dict
from tests.conftest import long
from tests.curves import undrawn
from tests.data.events.writers import write_synthetic

TINY = ClassifierConfig("8C TCJA(2,2) MP2 16C MP2 DP.1 FC40 LIF Vote4", T=3, shape=(1, 10, 10))
CONFIG = TrainConfig(data="digits", epochs=2, batch_size=32, lr=1e-2, log_every=5, model=TINY)


@pytest.fixture(autouse=True)
def reference(monkeypatch):
    """Tiny networks: compiling the kernels would take longer than all of their training, and so would drawing it."""
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    with undrawn():
        yield


@pytest.fixture(scope="module")
def digits():
    """192 training, 146 validation and 297 test digits."""
    train, valid, test = (load_split("digits", split, TINY) for split in ("train", "valid", "test"))
    train.indices, train.labels = train.indices[:192], train.labels[:192]
    return train, valid, test


class Interrupted(ClassifierTask):
    """A task to whose training the process gets SIGINT during step `at`."""

    def __init__(self, *arguments, at=0):
        super().__init__(*arguments)
        self.steps, self.at = itertools.count(1), at

    def losses(self, x, labels, epoch, generator):
        if next(self.steps) == self.at:
            signal.raise_signal(signal.SIGINT)
        return super().losses(x, labels, epoch, generator)


def train(config, digits, path, resume=False, at=0):
    data = (digits[0], digits[1], digits[2] if config.test_every_epoch else None)
    task, run = Interrupted(config, *data, at=at), RunFolder(path, resume)
    Trainer(task, config, run, callbacks=callbacks(task)).fit(resume)
    return task.model, run


def untimed(run):
    """The rows of metrics without what a clock says."""
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in run.read_metrics()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "loss", ["smse", *(pytest.param(name, marks=long) for name in ("smse-paper", "tet", "cross-entropy"))]
)
def test_every_loss_learns(digits, tmp_path, loss):
    config = replace(CONFIG, loss=loss, epochs=12)
    model, run = train(config, digits, tmp_path / "run")
    rows = [row for row in run.read_metrics() if "loss" in row]
    assert rows[-1]["accuracy"] > rows[0]["accuracy"] + 0.2
    assert evaluate(model, digits[1]).accuracy > 0.3  # chance: 0.1


@pytest.mark.parametrize("change", [{}, {"augment": Augment(roll=2, mixup=0.5)}, {"save_memory": True}])
def test_a_resumed_run_is_the_uninterrupted_one(digits, tmp_path, change):
    config = replace(CONFIG, **change)
    whole, run = train(config, digits, tmp_path / "whole")
    train(config, digits, tmp_path / "parts", at=4)
    parts, again = train(config, digits, tmp_path / "parts", resume=True)
    assert same(whole, parts)
    assert untimed(run) == untimed(again)
    assert same(checkpoint.load(run.path / checkpoint.BEST), checkpoint.load(again.path / checkpoint.BEST))


def test_saving_memory_changes_nothing(digits, tmp_path):
    plain, _ = train(CONFIG, digits, tmp_path / "plain")
    saving, _ = train(replace(CONFIG, save_memory=True), digits, tmp_path / "saving")
    torch.testing.assert_close(plain.state_dict(), saving.state_dict(), rtol=1e-4, atol=1e-5)


def test_training_leaves_the_global_random_state_alone(digits, tmp_path):
    before = torch.random.get_rng_state()
    train(replace(CONFIG, epochs=1, augment=Augment(roll=1)), digits, tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_depends_on_the_step_alone(digits):
    task = ClassifierTask(replace(CONFIG, model=replace(TINY, layers="8C MP2 DP.5 FC10")), *digits[:2])
    values = []
    for seed, noise in ((1, 0), (1, 99), (2, 0)):
        torch.manual_seed(noise)
        generator = torch.Generator().manual_seed(seed)
        values.append(task.losses(*digits[0].read([0, 1, 2]), 0, generator)["loss"])
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])


@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=long), "fp16"])
def test_half_precision_learns(digits, tmp_path, precision):
    model, run = train(replace(CONFIG, precision=precision, epochs=12), digits, tmp_path / "run")
    rows = [row for row in run.read_metrics() if "loss" in row]
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Scripted(ClassifierTask):
    """A task whose validation accuracies are these; Ctrl-C during the evaluation of epoch `at`."""

    def __init__(self, config, digits, accuracies, at=0):
        super().__init__(config, *digits[:2])
        self.accuracies, self.at = accuracies, at

    def end_of_epoch(self, epoch, run):
        if epoch == self.at:
            signal.raise_signal(signal.SIGINT)
        return {name: self.accuracies[epoch - 1] for name in ("valid_accuracy", "test_accuracy")}


@pytest.mark.parametrize("at", [0, 2, 3])
def test_the_best_epoch_is_the_latest_of_the_best_by_validation_also_when_resumed(digits, tmp_path, at):
    config = replace(CONFIG, epochs=4)
    for resume in [False, True] if at else [False]:
        task = Scripted(config, digits, [0.5, 0.7, 0.7, 0.6], 0 if resume else at)
        run = RunFolder(tmp_path / "run", resume)
        Trainer(task, config, run, callbacks=callbacks(task)).fit(resume)
    metadata = read_metadata(run.path / checkpoint.BEST)
    assert (metadata["epoch"], metadata["valid_accuracy"]) == (3, 0.7)
    assert checkpoint.find(run.path).name == checkpoint.BEST
    assert not same(checkpoint.load(run.path / checkpoint.BEST), checkpoint.load(run.model))


@pytest.mark.parametrize("lost", ["metrics.jsonl", checkpoint.BEST])
def test_the_best_epochs_are_known_to_the_checkpoint_alone(digits, tmp_path, lost):
    """Validation accuracies and test accuracies that are best before the run is stopped."""
    config = replace(CONFIG, epochs=4, test_every_epoch=True)
    for name, at in (("whole", 0), ("parts", 3)):
        for resume in [False, True] if at else [False]:
            task = Scripted(config, digits, [0.5, 0.7, 0.4, 0.6], 0 if resume else at)
            run = RunFolder(tmp_path / name, resume)
            Trainer(task, config, run, callbacks=callbacks(task)).fit(resume)
            if at and not resume:
                (run.path / lost).unlink()
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert (parts / checkpoint.BEST).read_bytes() == (whole / checkpoint.BEST).read_bytes()
    assert read_metadata(parts / checkpoint.BEST)["epoch"] == 2
    results = write_results(RunFolder(parts, True), config, digits[2], torch.device("cpu"))
    assert results["best_test_as_in_the_literature"] == {"epoch": 2, "test_accuracy": 0.7}


def test_the_best_epoch_of_a_run_of_an_older_version(digits, tmp_path):
    """Whose checkpoint does not know it: best.safetensors says it, whatever the log says."""
    config = replace(CONFIG, epochs=3)
    task = Scripted(config, digits, [0.7], at=1)
    run = RunFolder(tmp_path)
    Trainer(task, config, run, callbacks=callbacks(task)).fit()
    tensors, metadata = read(run.checkpoint)
    old = {name: x for name, x in tensors.items() if not name.startswith("KeepBest.")}
    write(run.checkpoint, old, metadata | {"callbacks": {}})
    run.metrics.write_text("")
    task = Scripted(config, digits, [0.7, 0.5, 0.6])
    Trainer(task, config, RunFolder(tmp_path, True), callbacks=callbacks(task)).fit(True)
    assert read_metadata(tmp_path / checkpoint.BEST)["epoch"] == 1


def test_the_test_split_is_looked_at_once_and_results_say_by_what_they_were_chosen(digits, tmp_path):
    seen = []

    class Watched(Subset):
        def read(self, indices):
            seen.append(len(indices))
            return super().read(indices)

    test = Watched(digits[2], torch.arange(len(digits[2])))
    _, run = train(CONFIG, (*digits[:2], test), tmp_path / "run")
    assert not seen
    results = write_results(run, CONFIG, test, torch.device("cpu"))
    assert sum(seen) == 2 * len(test)  # the last epoch's weights and the best's
    assert results == json.loads((run.path / "results.json").read_text())
    assert set(results) == {"data", "n_test", "seed", "last", "best_validation"}
    assert results["n_test"] == 297 and results["last"]["epoch"] == 2
    assert results["last"]["silent_outputs"] == evaluate(checkpoint.load(run.model), test).silent
    assert checkpoint.weights_of(read_metadata(run.model)) == "last epoch 2"
    best = read_metadata(run.path / checkpoint.BEST)
    assert checkpoint.weights_of(best) == f"epoch {best['epoch']}, best by validation"
    model = checkpoint.load(run.model)
    assert results["last"]["test_accuracy"] == evaluate(model, test).accuracy
    assert "best epoch by validation" in as_text(results)
    assert (run.pictures / "confusion.png").is_file()


def test_the_literatures_habit_is_measured_on_demand_and_labelled(digits, tmp_path):
    config = replace(CONFIG, test_every_epoch=True)
    _, run = train(config, digits, tmp_path / "run")
    results = write_results(run, config, digits[2], torch.device("cpu"))
    tested = [row["test_accuracy"] for row in run.read_metrics() if "test_accuracy" in row]
    assert len(tested) == 2
    assert results["best_test_as_in_the_literature"]["test_accuracy"] == max(tested)
    assert "chosen on the test split itself" in as_text(results)


def test_neurons_that_cannot_fire_are_told_of_in_the_first_epoch(digits, tmp_path, capsys):
    task = ClassifierTask(replace(CONFIG, lr=1e-9, epochs=1), *digits[:2])
    with torch.no_grad():
        task.model.layers[0].norm.bias.fill_(-5)
    Trainer(task, task.config, RunFolder(tmp_path / "run"), callbacks=callbacks(task)).fit()
    told = capsys.readouterr().err
    assert "neurons that never fired" in told
    assert "warning: epoch 1: no output neuron fired for 146 of 146 validation inputs" in told


def test_the_line_of_an_epoch_without_validation_has_its_losses(digits, tmp_path, capsys):
    train(replace(CONFIG, epochs=1), (digits[0], load_split("digits", "valid", TINY, validation=0)), tmp_path / "run")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "epoch" in line)
    assert re.fullmatch(r"epoch 1/1: loss [\d.]+, accuracy [\d.]+", line)


@pytest.mark.parametrize("settings", [{"event_drop": 0.1}, {"roll": 11}, {"cutout": 11}])
def test_augmentation_that_does_not_fit_is_refused_before_a_run(digits, settings):
    with pytest.raises(ValueError, match=r"event_drop drops events|roll and cutout must fit into 10 x 10"):
        ClassifierTask(replace(CONFIG, augment=Augment(**settings)), *digits[:2])


@pytest.mark.parametrize("settings", [{"flip": True}, {"rotate": 90.0}])
def test_directions_are_not_mirrored(tmp_path, settings):
    write_synthetic("synthetic-events", tmp_path, train=2, test=1)
    model = ClassifierConfig("AP->8 FC4", T=2, shape=(2, 34, 34), classes=4)
    data = load_split("synthetic-events", "train", model, root=tmp_path)
    with pytest.raises(ValueError, match="classes of this data set"):
        ClassifierTask(TrainConfig(model=model, augment=Augment(**settings)), data, data)


def test_labels_that_are_no_class_are_refused_before_a_run():
    data = MemoryImages("toy", "train", torch.zeros(2, 1, 10, 10, dtype=torch.uint8), torch.tensor([3, -1]), 10)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.9, found -1 to 3"):
        ClassifierTask(CONFIG, data, data)


# Evaluation


def test_evaluation_counts():
    seen = Evaluation(torch.tensor([[3, 1, 0], [0, 2, 2], [0, 0, 0]]))
    assert seen.n == 8 and seen.accuracy == 5 / 8
    assert seen.per_class[:2].tolist() == [0.75, 0.5] and seen.per_class[2].isnan()


def constant(outputs, digits, layers="4C MP2 FC10"):
    """A model whose outputs are these, whatever it sees."""
    model = ClassifierTask(replace(CONFIG, model=replace(TINY, layers=layers)), *digits[:2]).model
    with torch.no_grad():
        model.layers[-1].layer.weight.zero_()
        model.layers[-1].layer.bias.copy_(torch.tensor(outputs))
    return model


def test_of_equal_outputs_the_lowest_class_is_named(digits):
    tied = [0.0, 0.5, 0.25, 0.5, 0.25, 0.5, 0.0, 0.0, 0.5, 0.5]
    model = constant(tied, digits)
    assert ranking(torch.tensor([tied])).tolist() == [[1, 3, 5, 8, 9, 2, 4, 0, 6, 7]]
    seen = evaluate(model, digits[1])
    assert seen.confusion[:, 1].sum() == seen.n == len(digits[1])


def test_silent_outputs_are_counted_of_networks_that_end_in_spikes(digits):
    model = ClassifierTask(replace(CONFIG, model=replace(TINY, layers="8C MP2 FC10 LIF")), *digits[:2]).model
    with torch.no_grad():
        model.layers[0].norm.weight.fill_(4)
        model.layers[-1].transform.weight.mul_(4)
    x, _ = digits[1].read(range(len(digits[1])))
    seen = evaluate(model, digits[1])
    assert seen.silent == sum(not predict(model, to_input(image[None])).any() for image in x)
    assert 0 < seen.silent < seen.n
    with torch.no_grad():
        model.layers[0].norm.bias.fill_(-5)
    assert evaluate(model, digits[1]).silent == len(digits[1])
    assert evaluate(constant([0.0] * 10, digits), digits[1]).silent is None


@pytest.mark.parametrize(
    ("layers", "spikes"),
    [
        (["FC10 LIF", "FC20 LIF Vote2", "10C GAP", "10S LIF GAP"], True),
        (["FC10", "FC20 LIF FC10", "4S LIF GAP FC10", "10S 10R GAP"], False),
    ],
)
def test_what_a_network_ends_in(layers, spikes):
    assert {ends_in_spikes(SpikingClassifier(ClassifierConfig(text))) for text in layers} == {spikes}


def test_evaluation_does_not_depend_on_the_batch_size_and_is_that_of_predictions(digits):
    model = ClassifierTask(CONFIG, *digits[:2]).model
    train = model.training
    seen = evaluate(model, digits[1], batch_size=7)
    assert torch.equal(seen.confusion, evaluate(model, digits[1], batch_size=64).confusion)
    x, labels = digits[1].read(range(len(digits[1])))
    predicted = predict(model, to_input(x)).argmax(1)
    for true, guess in ((3, 3), (0, 1)):
        assert seen.confusion[true, guess] == ((labels == true) & (predicted == guess)).sum()
    assert model.training == train


def test_inputs_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="inputs must be finite, found NaN or infinity"):
        predict(ClassifierTask(CONFIG, *[toy(4, 10, 10)] * 2).model, torch.full((1, 1, 10, 10), float("nan")))


# Data


def toy(n, size, classes, labels=None):
    images = torch.zeros(n, 1, size, size, dtype=torch.uint8)
    labels = torch.arange(n) % classes if labels is None else labels
    return MemoryImages("toy", "train", images, labels, classes)


def test_splits_are_apart_and_whole():
    parts = [load_split("digits", split, TINY) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [1354, 146, 297]
    assert not set(parts[0].indices.tolist()) & set(parts[1].indices.tolist())
    image, label = parts[1][5]
    images, labels = parts[1].read([5])
    assert torch.equal(images[0], image) and labels.tolist() == [label]


def test_no_validation_is_possible_and_its_evaluation_is_refused():
    empty = load_split("digits", "valid", TINY, validation=0)
    assert len(empty) == 0
    with pytest.raises(ValueError, match="the valid split of digits is empty; a larger --validation"):
        evaluate(ClassifierTask(CONFIG, empty, empty).model, empty)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (1, 16, 12)}, "images are square, the model takes 16x12"),
        (
            {"shape": (3, 16, 16)},
            r"takes inputs .* = \[3, 16, 16\], digits gives \[1, 16, 16\]; train one with --model.shape 1 16 16",
        ),
        ({"classes": 9, "layers": "FC9"}, "the model has 9 classes, digits 10; train one with --model.classes 10"),
    ],
)
def test_data_that_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        load_split("digits", "train", replace(TINY, **change))


def test_images_without_labels_are_refused(tmp_path):
    from PIL import Image

    Image.new("L", (10, 10)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"images without a label; a classifier needs a folder for each class"):
        load_split(str(tmp_path), "test", TINY)


def test_frames_of_events_become_sequences():
    frames = torch.randint(0, 5, (3, 4, 2, 6, 5), dtype=torch.int16)  # [B, T, 2, H, W]
    x = time_first(to_input(frames))
    assert x.dtype == torch.float32 and x.shape == (4, 3, 2, 6, 5)
    assert torch.equal(x[1, 2], frames[2, 1].float())
    images = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    assert time_first(to_input(images)).tolist() == [[[[-1, 1]]]]


# Configuration


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_fit_their_data(name):
    config = PRESETS[name].config
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config
    assert config.data in (name, name.removesuffix("-tet")) and config.schedule == "cosine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of .*, found 'hinge'"),
        ({"slices": "space"}, "slices must be one of .*, found 'space'"),
        ({"graph": True}, "a classifier's step cannot be one CUDA graph: .*; leave --graph away"),
        ({"validation": 1.0}, r"validation must be in \[0, 1\), found 1.0"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("step", "training", "text"),
    [
        (20, {"epochs": 2}, "last epoch 2"),
        (13, {"epochs": 2, "steps": 0}, "epoch 1 of 2 and 3 steps"),
        (25, {"epochs": 150, "steps": 25}, "last epoch 3"),
        (20, {"epochs": 150, "steps": 25}, "epoch 2 of 3"),
    ],
)
def test_which_weights_a_checkpoint_holds(step, training, text):
    metadata = {"step": step, "images": 105, "training": {"batch_size": 10} | training}
    assert checkpoint.weights_of(metadata) == text
