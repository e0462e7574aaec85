"""The blocks of docs/EXTENDING.md: pasted, trained with, saved, loaded, drawn from and scored."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval import MEASURES, PROTOCOLS, Autoencoder, Networks, evaluate
from fsvae_tcja import (
    IMAGE_SETS,
    LATENTS,
    NEURONS,
    READOUTS,
    FSVAEConfig,
    FSVAETask,
    RunFolder,
    TrainConfig,
    Trainer,
    load,
    load_images,
)
from fsvae_tcja.cli import main
from tests.curves import undrawn

PAGE = Path(__file__).parents[1] / "docs" / "EXTENDING.md"
BLOCKS = dict(re.findall(r"^## A (\S+).*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
MODEL = FSVAEConfig(T=4, L=16, latent="bernoulli", channels=(2, 3, 4, 5))
TABLES = (LATENTS, READOUTS, NEURONS, IMAGE_SETS, MEASURES, PROTOCOLS)


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """The tables as they were, afterwards; a quick backend, and no curves, which take longer than a tiny training."""
    before = [dict(table) for table in TABLES]
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    with undrawn():
        yield
    for table, entries in zip(TABLES, before, strict=True):
        table.clear()
        table.update(entries)


def paste(name: str) -> None:
    exec(compile(BLOCKS[name], f"{PAGE.name}, {name}", "exec"), {"__name__": f"pasted_{name}"})


def test_there_is_a_block_for_each_in_less_than_forty_lines():
    assert BLOCKS.keys() == {"latent", "read-out", "neuron", "data", "score"}
    for name, block in BLOCKS.items():
        assert len([line for line in block.splitlines() if line.strip()]) < 40, name


def trained(model: FSVAEConfig, path: Path, data: str = "digits", steps: int = 12) -> FSVAETask:
    config = TrainConfig(data=data, steps=steps, batch_size=50, lr=1e-2, log_every=4, model=model)
    task = FSVAETask(config, *(load_images(data, split) for split in ("train", "test")))
    Trainer(task, config, RunFolder(path)).fit()
    return task


@pytest.mark.parametrize(("part", "field"), [("latent", "latent"), ("read-out", "readout"), ("neuron", "neuron")])
def test_a_part_is_trained_saved_loaded_drawn_from_and_scored(part, field, tmp_path):
    paste(part)
    task = trained(replace(MODEL, **{field: "mine"}), tmp_path / "run")
    rows = RunFolder(tmp_path / "run", resume=True).read_metrics()
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0]
    own = {name for name, _ in task.model.named_parameters() if name.split(".")[-1] in ("rate", "steps", "decay")}
    assert own and all(task.model.get_parameter(name).grad.any() for name in own)
    assert 0 < task.model.encode(torch.rand(8, 1, 32, 32)).mean() < 1  # neurons fired, and were silent

    again = load(tmp_path / "run")
    assert getattr(again.config, field) == getattr(task.model.config, field)
    assert torch.equal(again.sample(3, seed=1), task.model.eval().sample(3, seed=1))
    assert torch.equal(again.sample(3, seed=1)[:2], again.sample(2, seed=1))
    (score,) = evaluate(
        str(tmp_path / "run"), n=40, reference="digits:test", networks=Networks(autoencoder=Autoencoder().eval())
    )
    assert score.value > 0 and score.n == 40


@pytest.mark.parametrize(("part", "field"), [("latent", "latent"), ("read-out", "readout"), ("neuron", "neuron")])
def test_a_part_is_an_option_of_the_program_with_its_settings(part, field, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paste(part)
    option, value = {"latent": ("weight", "0.5"), "readout": ("first", "2.0"), "neuron": ("width", "0.25")}[field]
    small = ["--model.T", "3", "--model.L", "8", "--model.channels", "2", "3", "4", "5", "--steps", "2"]
    chosen = [f"--model.{field}", "mine", f"--model.{field}.{option}", value]
    assert main(["train", "digits", "--out", "run", "--device", "cpu", *small, *chosen]) == 0
    assert getattr(getattr(load("run").config, field), option) == float(value)
    assert main(["train", "digits", f"--model.{field}", "main"]) == 2
    assert "did you mean 'mine'?" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["latent", "read-out", "neuron"])
def test_a_checkpoint_whose_part_is_not_in_the_table_says_so(part, tmp_path):
    paste(part)
    field = part.replace("-", "")
    trained(replace(MODEL, **{field: "mine"}), tmp_path / "run", steps=1)
    {"latent": LATENTS, "readout": READOUTS, "neuron": NEURONS}[field].pop("mine")
    with pytest.raises(ValueError, match=f"unknown {field} of type .* import the module that adds it"):
        load(tmp_path / "run")


def test_a_data_set_is_trained_on_classified_and_scored_by_its_name(tmp_path, capsys):
    paste("data")
    task = trained(MODEL, tmp_path / "run", data="mine")
    assert load(tmp_path / "run").config == task.model.config
    networks = Networks(autoencoder=Autoencoder().eval())
    (real,) = evaluate("mine:train", reference="mine", networks=networks)
    (drawn,) = evaluate(str(tmp_path / "run"), n=200, reference="mine", networks=networks)
    assert 0 < real.value < drawn.value
    tiny = ["--model.layers", "4C MP2 FC2", "--model.T", "2", "--model.classes", "2", "--steps", "2"]
    assert main(["classify", "train", "digits", "--data", "mine", "--out", str(tmp_path / "c"), *tiny]) == 0
    capsys.readouterr()
    assert main(["doctor"]) == 0 and re.search(r"^ +mine +", capsys.readouterr().out, re.MULTILINE)


def test_a_score_is_computed_by_its_name(tmp_path, capsys):
    paste("score")
    Autoencoder().eval().save(tmp_path / "fad.safetensors")
    network = ["--networks.autoencoder", str(tmp_path / "fad.safetensors")]
    for images, zero in (("digits:test", True), ("digits:train", False)):
        (score,) = evaluate(
            images, "mine", reference="digits", networks=Networks(autoencoder=tmp_path / "fad.safetensors")
        )
        assert (score.name, score.protocol) == ("Gap", "mine") and (score.value == 0) == zero
    assert main(["score", "digits:train", "--protocol", "mine", "--reference", "digits", *network]) == 0
    assert "Gap" in capsys.readouterr().out
