"""fsvae-tcja train: run folders, resuming, settings, Ctrl-C."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image

from fsvae_tcja import Bernoulli, FSVAEConfig, load, save
from fsvae_tcja.cli import main
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.utils.configuration import from_dict
from fsvae_tcja.utils.lock import locked
from fsvae_tcja.vae.model import FSVAE
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import TrainConfig
from tests.conftest import long

from .program import PROGRAM, SHORT, TINY, rows_of, train


def test_help_of_train(capsys):
    assert main(["train"]) == main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"{preset.group or name} " in out and preset.about in out for name, preset in PRESETS.items())
    assert "DATA is one of mnist, fashion-mnist, cifar10, celeba." in out
    with pytest.raises(SystemExit) as stop:
        main(["train", "digits", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "--model.tcja.encoder" in out and "--resume" in out


def test_run_folder(run):
    assert {p.name for p in run.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "checkpoint-previous.safetensors",
        "model.safetensors",
        "run.json",
        "tensorboard",
        "pictures",
    }
    config = from_dict(TrainConfig, json.loads((run / "config.json").read_text()))
    model = FSVAEConfig(
        T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5), tcja=PRESETS["digits"].config.model.tcja
    )
    assert config == replace(PRESETS["digits"].config, epochs=2, batch_size=50, log_every=1, model=model)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [(step, (step + 29) // 30, False) for step in range(1, 61)]
    assert [(row["step"], row["epoch"], "test_mse" in row) for row in rows] == [
        *trained[:30],
        (30, 1, True),
        *trained[30:],
        (60, 2, True),
    ]
    assert rows[0].keys() == {"step", "epoch", "lr", "loss", "mse", "mmd"}
    assert rows[1].keys() == {*rows[0].keys(), "images_per_second"}
    (tensorboard,) = (run / "tensorboard").iterdir()
    assert tensorboard.name == "tiny" and len(list(tensorboard.iterdir())) == 1
    pictures = {
        "curves",
        "epoch-001-reconstructions",
        "epoch-001-samples",
        "epoch-002-reconstructions",
        "epoch-002-samples",
    }
    assert {p.stem for p in (run / "pictures").iterdir()} == pictures
    assert load(run).config == model


def test_a_second_run_into_the_same_folder_is_refused(run, fails):
    before = (run / "model.safetensors").read_bytes()
    message = fails("train", "digits", *TINY, "--out", run)
    assert f"{run} already holds a run: go on with --resume {run}, or choose another --out" in message
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("form", [["--resume", "{run}"], ["--resume={run}"], ["--device", "cpu", "--resume", "{run}"]])
def test_resuming_a_finished_run(run, form, capsys):
    assert main(["train", *(part.format(run=run) for part in form)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("the run was finished already at step 60 of 60, nothing was trained; model: ")


def test_a_resumed_run_takes_no_settings(run, fails):
    for args in (
        ["--lr", "3"],
        ["--device", "cpu", "--model.T", "3"],
        ["mnist"],
        ["--init-from", "x"],
        ["--size", "64"],
    ):
        message = fails("train", "--resume", run, *args)
        assert f"a resumed run keeps its own settings, found {args[-2] if args[1:] else 'mnist'}" in message
        assert "Besides --resume there may be --score-every," in message
        assert "--device, --dry-run, --epochs, --steps, and --data where its data have moved to\n" in message
        assert "--out" not in message


def test_resuming_with_another_configuration_names_the_keys(run, fails):
    message = fails("train", "digits", *TINY, *SHORT, "--lr", 3, "--resume", run)
    assert "was trained with another configuration (lr: 0.005 there, 3.0 here); resume it without changes" in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"lr": 0.005', '"lr": 0.25', "lr: 0.25 in the file, 0.005 in the checkpoint"),
        ('"epochs": 2', '"epochs": 3', "epochs: 3 in the file, 2 in the checkpoint"),
        ('"data": "digits"', '"data": "mnist"', "data: mnist in the file, digits in the checkpoint"),
        ('"lr": 0.005', '"lr": 0.005,,', "config.json is no configuration for"),
    ],
)
@pytest.mark.parametrize("preset", [[], ["digits", *TINY, *SHORT]])
def test_a_configuration_that_was_edited_is_no_way_to_change_a_run(
    run, tmp_path, fails, capsys, old, new, said, preset
):
    shutil.copytree(run, tmp_path / "edited")
    file = tmp_path / "edited" / "config.json"
    assert old in file.read_text()
    edited = file.read_text().replace(old, new)
    file.write_text(edited)
    message = fails("train", *preset, "--resume", tmp_path / "edited")
    assert said in message and "delete" in message
    assert file.read_text() == edited
    file.unlink()
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "edited")]) == 0
    assert "the run was finished already" in capsys.readouterr().out
    assert file.read_text() == (run / "config.json").read_text()


def test_a_longer_run_that_was_killed_before_its_checkpoint_is_lengthened_again(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "longer")
    file = tmp_path / "longer" / "config.json"
    file.write_text(file.read_text().replace('"epochs": 2', '"epochs": 3'))
    assert main(["train", "--resume", str(tmp_path / "longer"), "--epochs", "3"]) == 0
    assert "trained 30 steps" in capsys.readouterr().out


RESUME = ["--resume", "{run}"]


@pytest.mark.parametrize(
    ("args", "length"),
    [
        (RESUME, ["--epochs", "3"]),
        (["digits", *TINY, *SHORT, *RESUME], ["--steps", "90"]),
        pytest.param(RESUME, ["--steps", "90"], marks=long),
        pytest.param(["digits", *TINY, *SHORT, *RESUME], ["--epochs", "3"], marks=long),
    ],
)
def test_a_run_is_lengthened(run, tmp_path, args, length, capsys):
    shutil.copytree(run, tmp_path / "longer")
    assert main(["train", *(arg.format(run="longer") for arg in args), *length]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("trained 30 steps in ")
    assert "the run has 90 steps now, 60 before" in shown.err
    assert "the probability of scheduled sampling: stretched to the new length" in shown.err
    assert json.loads((tmp_path / "longer" / "config.json").read_text())[length[0][2:]] == int(length[1])


def test_a_run_cannot_end_before_where_it_is(run, fails):
    assert "has done 60 steps of 30 an epoch, more than the 30" in fails("train", "--resume", run, "--epochs", "1")
    assert "epochs must be >= 1, found 0" in fails("train", "--resume", run, "--epochs", "0")


def test_another_runs_configuration_instead_of_a_preset(run, fails, capsys, tmp_path):
    for name in (run, run / "config.json"):
        assert main(["train", "--lr", "0.25", "--config", str(name), "--dry-run"]) == 0
        printed = json.loads(capsys.readouterr().out)
        there = json.loads((run / "config.json").read_text())
        assert printed["configuration"] == there | {"lr": 0.25}
        assert printed["run"]["out"] == "runs/tiny"
    (tmp_path / "other.json").write_text('{"nokey": 3}')
    assert "other.json is no configuration for fsvae-tcja train" in fails("train", "--config", "other.json")
    assert "no configuration at none.json; --config takes a run folder" in fails("train", "--config", "none.json")
    assert "--config takes a run folder or a config.json" in fails("train", "--config")
    assert "digits and --config are two configurations" in fails("train", "digits", "--config", "other.json")


def test_starting_from_another_runs_weights(run, fails):
    assert train("next", "--epochs", "1", "--limit", "50", "--batch-size", "50", "--init-from", str(run)) == 0
    record = checkpoint.read_metadata("next/model.safetensors")["init_from"]
    assert record["file"] == str(run / "model.safetensors") and record["step"] == 60
    message = fails("train", "digits", "--init-from", run, "--out", "other")
    assert "does not fit this model" in message and "--config RUN" in message
    assert "leave --out and --init-from away" in fails("train", "digits", "--resume", run, "--init-from", run)


def test_stages_share_the_steps_of_a_run(capsys, monkeypatch):
    short = ["train", "mnist", "--data", "digits", "--limit", "500", "--dry-run"]
    own = 16_000, 10 * (60_000 // 256), 6000  # of the preset, on its own images, however few there are here
    parts = tuple(2000 * part // sum(own) for part in own[1:])
    shared = (2000 - sum(parts), *parts)
    for more, shares in (
        ([], shared),
        (["--batch-size", "8", "--model.latent.prior.batch-size", "16"], shared),  # another batch starves no stage
        (["--tuning.stage.steps", "3"], (2000, 0, 3)),
        (["--model.latent.prior.epochs", "5"], (2000, 0, 6000)),
    ):
        assert main([*short, "--steps", "2000", *more]) == 0
        shown = capsys.readouterr()
        stages = from_dict(TrainConfig, json.loads(shown.out)["configuration"]).stages()
        assert tuple(stage.steps for stage in stages) == shares
        assert ("steps of the 3 stages: {:,} + {} + {}; ".format(*shared) in shown.err) == (shares == shared)
    assert main([*short, "--steps", "2000", "--tuning.weight", "0"]) == 0
    told = capsys.readouterr().err
    assert "2 stages" in told and "prior.steps" in told and "--tuning.stage" not in told


def test_epochs_replace_the_steps_of_a_preset(capsys):
    assert main(["train", "mnist", "--epochs", "2", "--dry-run"]) == 0
    printed = json.loads(capsys.readouterr().out)["configuration"]
    assert (printed["epochs"], printed["steps"]) == (2, 0)


def test_a_dry_run_looks_at_the_weights_to_start_from(run, fails):
    assert train("next", "--init-from", str(run), "--dry-run") == 0
    message = "no checkpoint at mnst (did you mean 'mnist'?)"
    assert message in fails("train", "digits", "--init-from", "mnst", "--dry-run")
    assert "does not fit this model" in fails("train", "digits", "--init-from", run, "--dry-run")


def photos(folder, mode, size):
    folder.mkdir()
    for i in range(20):
        Image.new(mode, (size, size), i if mode == "L" else (i, 2 * i, 0)).save(folder / f"{i}.png")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_model_for_ones_own_images(mode, channels, tmp_path, capsys, fails):
    photos(tmp_path / "photos", mode, 50)
    command = ["train", "mnist", "--data", "photos", "--size", "64", "--dry-run"]
    assert main(command) == 2
    few = "has 18 training images, fewer than one batch of 256 and than the 100 clusters of its codes; set"
    options = (
        "--batch-size",
        "--model.latent.prior.batch-size",
        "--tuning.stage.batch-size",
        "--model.latent.clusters",
    )
    assert f"photos {few} {' and '.join(options)} to at most 18\n" in capsys.readouterr().err
    assert main([*command, "--limit", "7"]) == 2
    assert "error: --limit leaves 7 training images, fewer than one batch" in capsys.readouterr().err
    command += ["--batch-size", "9", "--model.latent.prior.batch-size", "9", "--tuning.stage.batch-size", "9"]
    command += ["--model.latent.clusters", "3"]
    assert main(command) == 0
    shown = capsys.readouterr()
    kind = "grey" if channels == 1 else "colour"
    assert shown.err == f"18 {kind} images of photos, at 64 pixels (--size)\n"
    model = json.loads(shown.out)["configuration"]["model"]
    assert (model["in_channels"], model["image_size"]) == (channels, 64)
    assert model["channels"] == [16, 32, 64, 128, 256] and model["tcja"]["decoder"] == [3, 4]
    assert main([*command, "--model.in-channels", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"]["model"]["in_channels"] == 3
    assert "--size must be a power of two" in fails("train", "digits", "--size", "50")


def test_one_s_own_images_are_trained_on(tmp_path):
    photos(tmp_path / "photos", "RGB", 20)
    assert train("own", "--data", "photos", "--size", "32", "--epochs", "1", "--batch-size", "9") == 0
    assert load("own").config.in_channels == 3


def test_a_run_goes_on_where_its_images_lie_now(tmp_path, fails):
    photos(tmp_path / "before", "RGB", 20)
    assert train("own", "--data", "before", "--size", "32", "--epochs", "1", "--batch-size", "9") == 0
    (tmp_path / "before").rename("now")
    longer = ["train", "--resume", "own", "--epochs", "2"]
    message = fails(*longer)
    assert f"own was trained on {tmp_path / 'before'}, where nothing lies; if that has moved: --resume own" in message
    assert main([*longer, "--data", "now"]) == 0
    assert json.loads((tmp_path / "own" / "config.json").read_text())["data"] == str(tmp_path / "now")
    assert main(["train", "--resume", "own"]) == 0
    Image.new("RGB", (20, 20)).save("now/7.png")
    assert "own was trained on other data: SHA-256 " in fails(*longer, "--data", "now")


def test_resuming_elsewhere_is_refused(run, fails, tmp_path):
    for args in (["digits", "--resume", run, "--out", "other"], ["--resume", run, "--out", "other"]):
        assert "leave --out and --init-from away" in fails("train", *args)
    assert not (tmp_path / "other").exists()


def test_resuming_what_is_no_run(fails):
    assert "cannot resume: no checkpoint at none/checkpoint.safetensors" in fails("train", "--resume", "none")


def test_resuming_a_model_is_refused(fails, tmp_path):
    save(
        FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))), tmp_path / "checkpoint.safetensors"
    )
    assert "checkpoint.safetensors holds a model and no training run" in fails("train", "--resume", ".")


def parameters(config):
    with torch.device("meta"):  # without the memory and its random numbers
        return sum(p.numel() for p in FSVAE(config).parameters())


def test_dry_run_prints_the_preset_with_the_changes_and_touches_nothing(capsys, tmp_path):
    for name, preset in PRESETS.items():
        assert main(["train", name, "--dry-run"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert from_dict(TrainConfig, printed["configuration"]) == preset.config
        assert printed["parameters"] == parameters(preset.config.model)
        assert printed["run"]["out"] == f"runs/{name}"
    changes = (
        "--lr 0.25 --betas 0.5 0.75 --model.latent.no-scheduled-sampling --model.readout mean --model.tcja.decoder 0 1"
    )
    assert main(["train", "fsvae2022-mnist", *changes.split(), "--out", "there", "--dry-run"]) == 0
    printed = json.loads(capsys.readouterr().out)
    base = PRESETS["fsvae2022-mnist"].config
    expected = replace(
        base,
        lr=0.25,
        betas=(0.5, 0.75),
        model=replace(
            base.model,
            latent=replace(base.model.latent, scheduled_sampling=False),
            readout="mean",
            tcja=replace(base.model.tcja, decoder=(0, 1)),
        ),
    )
    assert from_dict(TrainConfig, printed["configuration"]) == expected
    assert printed["parameters"] == parameters(expected.model) != parameters(base.model)
    assert printed["run"]["out"] == "there"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "unknown preset 'nope': choose one of digits, mnist-5k, mnist-fast, fashion-mnist-fast, mnist,"),
        (["nope"], "taid-DATA, esvae-DATA, ann-vae-DATA; DATA is one of mnist, fashion-mnist, cifar10, celeba"),
        (["mnits"], "unknown preset 'mnits' (did you mean 'mnist'?): choose one of"),
        (["--epochs", "3"], "put a preset before --epochs"),
        (["digits", "--epochs", "0"], "epochs must be >= 1, found 0"),
        (["digits", "--batch-size", "2000"], "digits has 1500 training images, fewer than one batch of 2000"),
        (
            ["mnist", "--data", "digits", "--limit", "200"],
            "fewer than one batch of 256; set --model.latent.prior.batch-size",
        ),
        (["mnist", "--data", "digits", "--steps", "2"], "2 steps are too few for 3 stages, each of one at least"),
        (["digits", "--model.in-channels", "3"], "the model takes 3 channel(s) of 32 pixels, digits gives 1 of 32"),
        (["digits", "--data", "nope"], "unknown data set 'nope'"),
        (["digits", "--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_wrong_settings_of_train(fails, args, message, tmp_path):
    assert message in fails("train", *args)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (["--out", ""], "--out is empty: give it a value, or leave it away"),
        (["--out="], "--out is empty: give it a value, or leave it away"),
        (["--out", "file"], "cannot make the run folder file: file is a file; choose another --out"),
        (["--out", "file/run"], "cannot make the run folder file/run: file is a file; choose another --out"),
        (
            ["--out", "/proc/run"],
            "cannot make the run folder /proc/run: nothing can be made in /proc; choose another --out",
        ),
    ],
)
def test_places_where_no_run_can_be(fails, out, message, tmp_path):
    (tmp_path / "file").write_text("text")
    for program in (["train", "digits", *TINY], ["classify", "train", "digits"]):
        assert message in fails(*program, *out)
    assert (tmp_path / "file").read_text() == "text" and len(list(tmp_path.iterdir())) == 1


def test_a_run_in_use_is_refused_and_left_alone(run, fails, tmp_path):
    """Two processes with one --out, and two that resume one run."""
    shutil.copytree(run, tmp_path / "run")
    with locked(tmp_path / "run"):
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
        assert "run is in use (process " in fails("train", "--resume", "run", "--device", "cpu", "--score-every", "0")
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
    (tmp_path / "new").mkdir()
    with locked(tmp_path / "new"):
        assert "new is in use (process " in fails("train", "digits", *TINY, "--out", "new")
        assert [path.name for path in (tmp_path / "new").iterdir()] == [".lock"]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, to mount")
def test_a_finished_run_on_a_disk_that_cannot_be_written(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    resume = shlex.join([*PROGRAM, "train", "--resume", str(tmp_path / "run"), "--device", "cpu"])
    mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} || exit 77"
    done = subprocess.run(["unshare", "-m", "sh", "-c", f"{mount}; {resume}"], capture_output=True, text=True)
    if done.returncode in (1, 77):
        pytest.skip("nothing can be mounted here")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: cannot write to the run folder {tmp_path / 'run'}: Read-only file system\n"


def test_missing_data_names_the_files(capsys, tmp_path):
    assert main(["train", "mnist"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: mnist: missing\n")
    assert str(tmp_path / "data" / "MNIST" / "raw") in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["digits", "--nokey", "3"], "unknown option --nokey"),
        (
            ["digits", "--model.chanels", "3"],
            "unknown option --model.chanels (did you mean '--model.channels'?): `fsvae",
        ),
        (["digits", "--epochs", "many"], "--epochs: expected a whole number, found 'many'"),
        (["digits", "--clip", "-1"], "clip must be >= 0, found -1"),
        (
            ["digits", "--model.readout", "sum"],
            "unknown readout 'sum': choose one of ['membrane', 'tcja', 'taid', 'mean']",
        ),
        (
            ["digits", "--model.latent.distance", "l2"],
            "'l2' for argument '--model.latent.distance'. Expected one of ('mmd'",
        ),
        (["digits", "--model.T", "0"], "T must be a whole number >= 1, found 0"),
        (["digits", "--model.channels", "8", "16"], "2 encoder blocks make a model for 8x8 images, found image_size"),
        (["digits", "--model.tcja.encoder", "9"], "tcja.encoder must name different blocks among 0..3, found (9,)"),
    ],
)
def test_options_of_train_that_do_not_parse(fails, args, message):
    assert message in fails("train", *args)


UNDRAWN = """
import sys
from fsvae_tcja.cli import main
from fsvae_tcja.vae import train
train.save_curves = lambda *args, **options: None
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_and_resume_give_the_uninterrupted_run(run, tmp_path, capsys):
    where = ["--data-root", "some where", "--device", "cpu"]
    command = [sys.executable, "-c", UNDRAWN, "train", "digits", *TINY, *SHORT, "--out", "run", *where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(rows_of(tmp_path / "run" / "metrics.jsonl")) < 3:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    step = checkpoint.read("run/checkpoint.safetensors", "none")[1]["step"]
    assert 3 <= step < 30
    told = "go on with: fsvae-tcja train --resume run --data-root 'some where' --device cpu"
    assert out == f"stopped after step {step}; {told}\n"
    assert "Traceback" not in err

    capsys.readouterr()
    assert main(["train", "--resume", "run", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(f"trained {60 - step} steps in ")
    for file in ("checkpoint.safetensors", "model.safetensors", "config.json"):
        assert (tmp_path / "run" / file).read_bytes() == (run / file).read_bytes()
    resumed, whole = (list(map(json.loads, rows_of(path / "metrics.jsonl"))) for path in (tmp_path / "run", run))
    assert len(resumed) == 62
    assert [row | {"images_per_second": 0} for row in resumed] == [row | {"images_per_second": 0} for row in whole]


def test_blocks_that_were_given_are_not_changed_by_size(tmp_path, capsys, fails):
    photos(tmp_path / "photos", "L", 50)
    command = ["train", "fsvae2022-mnist", "--data", "photos", "--dry-run", "--batch-size", "9"]
    message = fails(*command, "--size", "16", "--model.channels", "2", "3", "4", "5")
    assert "--size 16 chooses the blocks itself, found --model.channels [2, 3, 4, 5]; leave these out" in message
    assert "found --model.tcja.decoder [0]" in fails(*command, "--size", "16", "--model.tcja.decoder", "0")
    assert main([*command, "--size", "32", "--model.channels", "2", "3", "4", "5"]) == 0
    capsys.readouterr()
    assert main([*command, "--model.image-size", "16", "--model.channels", "2", "3", "4"]) == 0
    model = json.loads(capsys.readouterr().out)["configuration"]["model"]
    assert (model["image_size"], model["channels"]) == (16, [2, 3, 4])


def test_a_dry_run_tells_of_data_that_are_not_there(tmp_path, capsys):
    command = ["train", "mnist", "--dry-run", "--data-root", str(tmp_path)]
    assert main(command) == 0
    told = f"note: training needs mnist in {tmp_path} (--data-root, --download): 4 of 4 files missing\n"
    assert told in capsys.readouterr().err
    assert main([*command, "--download"]) == 0 and "note: " not in capsys.readouterr().err
