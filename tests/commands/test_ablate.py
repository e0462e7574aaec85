"""fsvae-tcja ablate: the study of docs/ABLATE.md, shared out, resumed, and its table."""

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fsvae_tcja import load_images
from fsvae_tcja.cli import main
from fsvae_tcja.commands.ablation.job import Where, finished
from fsvae_tcja.commands.ablation.study import read_study
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.utils.atomic import write_json
from fsvae_tcja.vae import load
from fsvae_tcja.vae.sample import noise_of
from fsvae_tcja.vae.train import FSVAETask
from tests.curves import undrawn

from .program import PROGRAM

DOCS = Path(__file__).parents[2] / "docs"
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", (DOCS / "ABLATE.md").read_text(), re.DOTALL)
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def done(tmp_path_factory, autoencoder):
    """The folder in which the first of two processes has trained its share."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copy(autoencoder, folder / "fad.safetensors")
    (folder / "study.toml").write_text(EXAMPLE)
    with pytest.MonkeyPatch.context() as patch, undrawn():
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        patch.chdir(folder)
        assert main(["ablate", "study.toml", "--shard", "1/2", "--device", "cpu"]) == 0
    return folder


def test_two_processes_share_the_runs_and_the_last_has_the_whole_table(done, monkeypatch, capsys):
    monkeypatch.chdir(done)
    runs = done / "runs" / "study"
    assert sorted(p.parent.name for p in runs.glob("membrane/*/result.json")) == ["seed-0", "seed-1"]
    assert not (runs / "tcja").exists()
    assert "0 of 2" in (runs / "table.md").read_text()
    (runs / "tcja" / "seed-0").mkdir(parents=True)
    (runs / "tcja" / "seed-0" / "config.json").write_text("{}")  # of a run that ended before its first checkpoint
    before = (runs / "membrane" / "seed-0" / "model.safetensors").stat().st_mtime_ns
    assert main(["ablate", "study.toml", "--device", "cpu"]) == 0  # the rest, as any other process would
    shown = capsys.readouterr().out
    assert "4 of 4 runs are finished" in shown
    assert (runs / "membrane" / "seed-0" / "model.safetensors").stat().st_mtime_ns == before
    table = json.loads((runs / "table.json").read_text())
    wanted = {"loss", "mse", "FAD", "FAD recon", "FAD floor", "rate", "energy", "parameters", "steps", "seconds"}
    for name in ("membrane", "tcja"):
        cells = table["settings"][name]
        assert cells.keys() == wanted and all(len(values) == 2 for values in cells.values())
        assert cells["steps"] == [12, 12]
        results = [json.loads((runs / name / f"seed-{seed}" / "result.json").read_text()) for seed in SEEDS]
        assert cells["mse"] == [result["figures"]["mse"] for result in results]
    assert table["settings"]["membrane"]["mse"][0] != table["settings"]["membrane"]["mse"][1]
    assert table["settings"]["membrane"]["parameters"] != table["settings"]["tcja"]["parameters"]
    assert (runs / "table.png").read_bytes().startswith(b"\x89PNG")
    text = (runs / "table.md").read_text()
    assert re.search(r"\| membrane \| 2 of 2 \| [\d.]+ ± [\d.]+ \|", text)
    assert "12 steps each, seeds 0, 1" in text
    latex = (runs / "table.tex").read_text()
    assert latex.count(r"\\") == 3 and r"$\pm$" in latex and "tabular" in latex


def test_results_of_another_study_are_not_mixed_in(done, monkeypatch, fails):
    monkeypatch.chdir(done)
    (done / "other.toml").write_text(EXAMPLE.replace("n = 100", "n = 99").replace("batch-size = 16", "batch-size = 8"))
    message = fails("ablate", "other.toml", "--out", "runs/study", "--table")
    assert "or of another budget (n: 100 there, 99 here, start.batch_size: 16 there, 8 here)" in message


@pytest.mark.parametrize(("data", "read"), [("digits", True), ("pictures", False)])
def test_older_results_of_the_first_images_of_a_folder_are_refused(done, tmp_path, data, read):
    """They looked at others than are drawn now; of a published set these are the same."""
    result = json.loads((done / "runs" / "study" / "membrane" / "seed-0" / "result.json").read_text())
    del result["asked"]["images"]
    result["asked"]["start"]["data"] = data
    (tmp_path / "membrane" / "seed-0").mkdir(parents=True)
    (tmp_path / "membrane" / "seed-0" / "result.json").write_text(json.dumps(result))
    study, where = read_study(done / "study.toml"), Where(tmp_path, torch.device("cpu"), {})
    study = replace(study, settings={"membrane": replace(study.settings["membrane"], data=data)})
    if read:
        assert finished(study, "membrane", 0, where)["figures"] == result["figures"]
    else:
        with pytest.raises(ValueError, match="is the result of other settings"):
            finished(study, "membrane", 0, where)


def test_the_results_of_the_documentation_are_read():
    where = Where(DOCS / "studies" / "systems", torch.device("cpu"), {})
    study, found = (
        read_study(DOCS / "studies" / "systems.toml"),
        sorted(p.parent.parent.name for p in where.out.glob("*/*/result.json")),
    )
    assert found and all(finished(study, name, 0, where) for name in found)


def test_a_dry_run_lists_the_runs(tmp_path, capsys):
    (tmp_path / "study.toml").write_text(EXAMPLE)
    assert main(["ablate", "study.toml", "--dry-run", "--shard", "2/4"]) == 0
    assert capsys.readouterr().out == "runs/study/tcja/seed-0  to be trained\n"


def test_a_table_is_utf_8_whatever_the_terminal_is(tmp_path):
    (tmp_path / "study.toml").write_text(EXAMPLE.replace("Read-outs", "Größe → ∞"), encoding="utf-8")
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([*PROGRAM, "ablate", "study.toml", "--table"], env=os.environ | ascii, capture_output=True)
    assert done.returncode == 0, done.stderr
    for name in ("table.md", "table.tex"):
        assert "Größe → ∞ on the digits" in (tmp_path / "runs" / "study" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["systems", "tcja", "stochastic"])
def test_the_studies_of_the_documentation_can_be_read(name):
    study = read_study(DOCS / "studies" / f"{name}.toml")
    assert {config.data for config in study.settings.values()} == {"mnist-5k"}
    for config in study.settings.values() if study.steps else ():
        staged = config.lasting_in_all(study.steps, 4000)
        assert sum(stage.total_steps(4000 // stage.batch_size) for stage in staged.stages()) == study.steps


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("steps = 12", "steps = 12\nseconds = 3", "a study has one budget, steps or seconds"),
        ("steps = 12", "", "a study has one budget, steps or seconds"),
        ("steps = 12", "step = 12", "unknown key 'step' (did you mean 'steps'?)"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "seeds must be different whole numbers >= 0, found [0, 0]"),
        ("seeds = [0, 1]", "seeds = 3", "seeds must be a list of whole numbers, found 3"),
        ('preset = "digits" ', "", "settings.membrane has no preset to start from"),
        ('preset = "digits" ', 'preset = "mnits" ', "unknown preset 'mnits'"),
        ("batch-size = 16", "batch-sise = 16", "settings.membrane: unknown option --batch-sise"),
        ("batch-size = 16", "seed = 16", "settings.membrane: seed is the study's to give"),
        ('"model.readout" = "tcja"', '"model.readout" = "sum"', "settings.tcja: unknown readout 'sum'"),
        ("batch-size = 16", 'device = "cpu"', "settings.membrane: device says where and how a run goes"),
        ("[settings.tcja]", '[settings."../tcja"]', "a setting is a folder too"),
        ("[options]", "[options", "is no TOML"),
    ],
)
def test_a_study_that_cannot_be(tmp_path, fails, was, becomes, message):
    text = EXAMPLE.replace(was, becomes, 1)
    (tmp_path / "study.toml").write_text(text)
    assert message in fails("ablate", "study.toml")


def test_missing_files_and_wrong_shards(tmp_path, fails):
    assert "no study at nothing.toml" in fails("ablate", "nothing.toml")
    (tmp_path / "study.toml").write_text(EXAMPLE)
    for shard in ("0/2", "3/2", "half"):
        assert "--shard must be I/N with I in 1..N" in fails("ablate", "study.toml", "--shard", shard)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fad.safetensors", "lost.safetensors"), "lost.safetensors; make one with `fsvae-tcja eval train-fad`"),
        (
            ("[settings.tcja]", "[settings.tcja]\nsize = 64"),
            "settings.tcja: the extractor takes 32 x 32 images, found 64 x 64",
        ),
    ],
    ids=["a network that is not there", "images of another size in the second setting"],
)
def test_networks_are_tried_before_the_first_training(tmp_path, autoencoder, fails, change, message):
    shutil.copy(autoencoder, tmp_path / "fad.safetensors")
    (tmp_path / "study.toml").write_text(EXAMPLE.replace('"model.channels" = [2, 3, 4, 5]\n', "").replace(*change))
    assert message in fails("ablate", "study.toml", "--device", "cpu")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "seeds", "stages"),
    [
        ("", [0, 1], 1),
        ('preset = "mnist-5k"\ndata = "digits"\n"model.latent.stochastic" = 0.2\n"model.latent.hidden" = 16\n', [0], 2),
    ],
    ids=["one stage", "two stages"],
)
def test_a_budget_in_seconds_is_measured_once_for_all_seeds(tmp_path, capsys, setting, seeds, stages):
    study = EXAMPLE.replace("steps = 12", "seconds = 0.2").replace("seeds = [0, 1]", f"seeds = {seeds}")
    study = study.replace('autoencoder = "fad.safetensors"', "").partition("[settings.membrane]")[0]
    (tmp_path / "study.toml").write_text(study + "[settings.one]\n" + setting)
    assert main(["ablate", "study.toml", "--device", "cpu"]) == 0
    folder = tmp_path / "runs" / "study"
    steps = json.loads((folder / "one" / "steps.json").read_text())
    cells = json.loads((folder / "table.json").read_text())["settings"]["one"]
    assert cells["steps"] == [steps] * len(seeds) and steps >= stages
    assert "FAD" not in cells and "0.2 s each" in capsys.readouterr().out
    if stages == 2:
        assert cells["nats"] == [pytest.approx(bound(folder / "one" / "seed-0"), rel=1e-4)]


def test_of_two_processes_that_measure_a_budget_at_once_both_take_what_the_first_found(tmp_path, monkeypatch):
    study = EXAMPLE.replace("steps = 12", "seconds = 0.01").replace("seeds = [0, 1]", "seeds = [0]")
    study = study.replace('autoencoder = "fad.safetensors"', "").partition("[settings.tcja]")[0]
    (tmp_path / "study.toml").write_text(study)
    folder, fit = tmp_path / "runs" / "study", Trainer.fit

    def beside_another(*args):
        write_json(folder / "membrane" / "steps.json", 7)
        return fit(*args)

    monkeypatch.setattr(Trainer, "fit", beside_another)
    assert main(["ablate", "study.toml", "--device", "cpu"]) == 0
    assert json.loads((folder / "table.json").read_text())["settings"]["membrane"]["steps"] == [7]


def bound(run):
    """Code length less the entropy of the posterior, of the same 100 images."""
    model, digits = load(run), load_images("digits", "test")
    with torch.no_grad():
        z, a = model.latent.infer(model.encoder(digits.images[:100] / 127.5 - 1), noise_of(model, 0, 0, 100))
        length = model.latent.nll(z, digits.labels[:100]).mean().item()
    p = torch.sigmoid(a.double())
    entropy = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).sum().item() / 100
    assert entropy > 1
    return length - entropy


def test_a_study_ends_as_the_signal_says(tmp_path, capsys, monkeypatch):
    losses = FSVAETask.losses

    def stop(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return losses(*args)

    monkeypatch.setattr(FSVAETask, "losses", stop)
    text = EXAMPLE.replace('autoencoder = "fad.safetensors"', "")
    (tmp_path / "study.toml").write_text(text)
    assert main(["ablate", "study.toml", "--device", "cpu"]) == 128 + signal.SIGTERM
    assert "stopped; go on with: fsvae-tcja ablate study.toml --device cpu" in capsys.readouterr().out
