import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from PIL import Image

from eval.domain import Classifier
from eval.fad import Autoencoder
from eval.provenance import tensors_sha256
from eval.result import load_scores
from fsvae_tcja import FSVAEConfig, cli, load, save
from fsvae_tcja.cli import COMMANDS, main
from fsvae_tcja.data.load import load_images
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.scoring import drawn_from
from fsvae_tcja.utils.configuration import from_dict
from fsvae_tcja.vae.model import FSVAE
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

PROGRAM = [sys.executable, "-c", "import sys; from fsvae_tcja.cli import main; sys.exit(main())"]
TINY = shlex.split("--model.T 4 --model.latent 8 --model.k 3 --model.channels 2 3 4 5 --device cpu")
SHORT = shlex.split("--epochs 2 --batch-size 50 --log-every 1")  # 2 epochs of 30 steps


def train(out, *options):
    return main(["train", "digits", *TINY, "--out", str(out), *options])


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Reference kernels, since every process would compile the fused ones anew, and one thread in every process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(quick, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert train(folder, *SHORT) == 0
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Defaults write below the working directory and read ./data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FSVAE_TCJA_DATA", raising=False)


@pytest.fixture
def fails(capsys):
    """Run the program; it must end with status 2 and one line on stderr, which is returned."""

    def run(*args):
        capsys.readouterr()
        assert main([str(arg) for arg in args]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


# the program


def test_usage_names_every_command(capsys):
    for args in ([], ["-h"], ["--help"]):
        assert main(args) == 0
        out = capsys.readouterr().out
        assert all(f"\n  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("command", ["sample", "reconstruct", "info", "doctor"])
def test_help_of_each_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: fsvae-tcja {command}" in capsys.readouterr().out


def test_help_of_train(capsys):
    assert main(["train"]) == main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name} " in out and preset.about in out for name, preset in PRESETS.items())
    with pytest.raises(SystemExit) as stop:
        main(["train", "digits", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "--model.tcja.encoder" in out and "--resume" in out


def test_unknown_command(fails):
    assert "unknown command 'draw': choose one of ['train', 'sample'" in fails("draw")
    assert "unknown command 'recontruct' (did you mean 'reconstruct'?): choose one of" in fails("recontruct")


def test_the_installed_program_is_this_one():
    (script,) = entry_points(group="console_scripts", name="fsvae-tcja")
    assert script.load() is main


# train


def test_run_folder(run):
    assert {p.name for p in run.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "model.safetensors",
        "tensorboard",
        "pictures",
    }
    config = from_dict(TrainConfig, json.loads((run / "config.json").read_text()))
    model = FSVAEConfig(T=4, latent=8, k=3, channels=(2, 3, 4, 5), tcja=PRESETS["digits"].config.model.tcja)
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
        assert "--device, --dry-run, --epochs, --steps\n" in message
        assert "--out" not in message


def test_resuming_with_another_configuration_names_the_keys(run, fails):
    message = fails("train", "digits", *TINY, *SHORT, "--lr", 3, "--resume", run)
    assert "was trained with another configuration (lr: 0.005 there, 3.0 here); resume it without changes" in message


@pytest.mark.parametrize("args", [["--resume", "{run}"], ["digits", *TINY, *SHORT, "--resume", "{run}"]])
@pytest.mark.parametrize("length", [["--epochs", "3"], ["--steps", "90"]])
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


def test_another_runs_configuration_instead_of_a_preset(run, fails, capsys, tmp_path):
    for name in (run, run / "config.json"):
        assert main(["train", "--lr", "0.25", "--config", str(name), "--dry-run"]) == 0
        printed = json.loads(capsys.readouterr().out)
        there = json.loads((run / "config.json").read_text())
        assert printed["configuration"] == there | {"lr": 0.25}
        assert printed["run"]["out"] == "runs/tiny"
    (tmp_path / "other.json").write_text('{"nokey": 3}')
    assert "other.json is no configuration for fsvae-tcja train" in fails("train", "--config", "other.json")
    assert "No such file" in fails("train", "--config", "none.json")
    assert "--config takes a run folder or a config.json" in fails("train", "--config")
    assert "digits and --config are two configurations" in fails("train", "digits", "--config", "other.json")


def test_starting_from_another_runs_weights(run, fails):
    assert train("next", "--epochs", "1", "--limit", "50", "--batch-size", "50", "--init-from", str(run)) == 0
    record = checkpoint.read_metadata("next/model.safetensors")["init_from"]
    assert record["file"] == str(run / "model.safetensors") and record["step"] == 60
    message = fails("train", "digits", "--init-from", run, "--out", "other")
    assert "does not fit the model of its configuration" in message
    assert "leave --out and --init-from away" in fails("train", "digits", "--resume", run, "--init-from", run)


def photos(folder, mode, size):
    folder.mkdir()
    for i in range(20):
        Image.new(mode, (size, size), i if mode == "L" else (i, 2 * i, 0)).save(folder / f"{i}.png")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_model_for_ones_own_images(mode, channels, tmp_path, capsys, fails):
    photos(tmp_path / "photos", mode, 50)
    command = ["train", "mnist", "--data", "photos", "--size", "64", "--dry-run"]
    assert main(command) == 0
    shown = capsys.readouterr()
    kind = "grey" if channels == 1 else "colour"
    assert shown.err == f"18 {kind} images of photos, at 64 pixels (--size)\n"
    model = json.loads(shown.out)["configuration"]["model"]
    assert (model["in_channels"], model["image_size"]) == (channels, 64)
    assert model["channels"] == [32, 64, 128, 256, 512] and model["tcja"]["decoder"] == [3, 4]
    assert main([*command, "--model.in-channels", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"]["model"]["in_channels"] == 3
    assert "--size must be a power of two" in fails("train", "digits", "--size", "50")


def test_one_s_own_images_are_trained_on(tmp_path):
    photos(tmp_path / "photos", "RGB", 20)
    assert train("own", "--data", "photos", "--size", "32", "--epochs", "1", "--batch-size", "9") == 0
    assert load("own").config.in_channels == 3


def test_resuming_elsewhere_is_refused(run, fails, tmp_path):
    for args in (["digits", "--resume", run, "--out", "other"], ["--resume", run, "--out", "other"]):
        assert "leave --out and --init-from away" in fails("train", *args)
    assert not (tmp_path / "other").exists()


def test_resuming_what_is_no_run(fails):
    assert "cannot resume: no checkpoint at none/checkpoint.safetensors" in fails("train", "--resume", "none")


def test_resuming_a_model_is_refused(fails, tmp_path):
    save(FSVAE(FSVAEConfig(T=4, latent=8, k=3, channels=(2, 3, 4, 5))), tmp_path / "checkpoint.safetensors")
    assert "checkpoint.safetensors holds a model and no training run" in fails("train", "--resume", ".")


def parameters(config):
    return sum(p.numel() for p in FSVAE(config).parameters())


def test_dry_run_prints_the_preset_with_the_changes_and_touches_nothing(capsys, tmp_path):
    for name, preset in PRESETS.items():
        assert main(["train", name, "--dry-run"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert from_dict(TrainConfig, printed["configuration"]) == preset.config
        assert printed["parameters"] == parameters(preset.config.model)
        assert printed["run"]["out"] == f"runs/{name}"
    changes = "--lr 0.25 --betas 0.5 0.75 --no-scheduled-sampling --model.readout mean --model.tcja.decoder 0 1"
    assert main(["train", "mnist", *changes.split(), "--out", "there", "--dry-run"]) == 0
    printed = json.loads(capsys.readouterr().out)
    base = PRESETS["mnist"].config
    expected = replace(
        base,
        lr=0.25,
        betas=(0.5, 0.75),
        scheduled_sampling=False,
        model=replace(base.model, readout="mean", tcja=replace(base.model.tcja, decoder=(0, 1))),
    )
    assert from_dict(TrainConfig, printed["configuration"]) == expected
    assert printed["parameters"] == parameters(expected.model) != parameters(base.model)
    assert printed["run"]["out"] == "there"
    assert not list(tmp_path.iterdir())


def test_a_dry_run_builds_the_network(fails, monkeypatch, tmp_path):
    def refuse(config):
        raise ValueError(f"no model of {config.latent} latents")

    monkeypatch.setattr(cli, "TRAIN", replace(cli.TRAIN, network=refuse))
    assert "no model of 7 latents" in fails("train", "digits", "--model.latent", "7", "--dry-run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "unknown preset 'nope': choose one of ['digits', 'mnist', 'fashion-mnist', 'cifar10', 'celeba']"),
        (["mnits"], "unknown preset 'mnits' (did you mean 'mnist'?): choose one of"),
        (["--epochs", "3"], "put a preset before --epochs"),
        (["digits", "--epochs", "0"], "epochs must be >= 1, found 0"),
        (["digits", "--batch-size", "2000"], "digits has 1500 training images, fewer than one batch of 2000"),
        (["digits", "--model.in-channels", "3"], "the model takes 3 channel(s) of 32 pixels, digits gives 1 of 32"),
        (["digits", "--data", "nope"], "unknown data set 'nope'"),
        (["digits", "--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_wrong_settings_of_train(fails, args, message, tmp_path):
    assert message in fails("train", *args)
    assert not list(tmp_path.iterdir())


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
        (["digits", "--model.readout", "sum"], "--model.readout"),
        (["digits", "--distance", "l2"], "--distance"),
        (["digits", "--model.T", "0"], "T must be a whole number >= 1, found 0"),
        (["digits", "--model.channels", "8", "16"], "2 encoder blocks make a model for 8x8 images, found image_size"),
        (["digits", "--model.tcja.encoder", "9"], "tcja.encoder must name different blocks among 0..3, found (9,)"),
    ],
)
def test_options_of_train_that_do_not_parse(fails, args, message):
    assert message in fails("train", *args)


def rows_of(path):
    return path.read_text().splitlines() if path.exists() else []


def test_ctrl_c_and_resume_give_the_uninterrupted_run(run, tmp_path, capsys):
    where = ["--data-root", "some where", "--device", "cpu"]
    command = [*PROGRAM, "train", "digits", *TINY, *SHORT, "--out", "run", *where]
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
    assert len(rows_of(tmp_path / "run" / "metrics.jsonl")) == 62


# sample


def ungrid(path, n, columns, size=32, scale=3, gap=4):
    """The images [n, size, size] of a grid."""
    grid = np.asarray(Image.open(path))[gap::1, gap::1]
    cell = size * scale + gap
    tops = [(i // columns * cell, i % columns * cell) for i in range(n)]
    return np.stack([grid[t : t + size * scale : scale, s : s + size * scale : scale] for t, s in tops])


def test_three_forms_hold_the_same_pixels(run, tmp_path, capsys):
    for out in ("grid.png", "array.npz", "folder"):
        assert main(["sample", str(run), "--n", "9", "--seed", "3", "--out", out, "--device", "cpu"]) == 0
        assert capsys.readouterr().out == f"drew 9 images (seed 3): {out}\n"
    with np.load("array.npz") as file:
        array = file["images"]
    assert (array.dtype, array.shape) == (np.uint8, (9, 32, 32, 1))
    assert array.min() < array.max()
    files = sorted((tmp_path / "folder").iterdir())
    assert [file.name for file in files] == [f"{i:06d}.png" for i in range(9)]
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(file)) for file in files]), array[..., 0])
    np.testing.assert_array_equal(ungrid("grid.png", 9, columns=3), array[..., 0])


def drawn(run, *options):
    assert main(["sample", str(run), "--out", "s.npz", "--device", "cpu", *options]) == 0
    with np.load("s.npz") as file:
        return file["images"]


def test_images_belong_to_the_seed(run):
    images = drawn(run, "--n", "9", "--seed", "3")
    np.testing.assert_array_equal(drawn(run, "--n", "9", "--seed", "3"), images)
    np.testing.assert_array_equal(drawn(run / "model.safetensors", "--n", "4", "--seed", "3"), images[:4])
    # another batch size sums in another order: at most one grey level apart
    apart = drawn(run, "--n", "9", "--seed", "3", "--batch-size", "2").astype(int) - images
    assert np.abs(apart).max() <= 1
    assert (drawn(run, "--n", "9", "--seed", "4") != images).any()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "a.jpg"], "cannot write a.jpg: end it in .png (one grid) or .npz (an array), or name a folder"),
        (["--n", "0"], "n and batch_size must be >= 1 and seed in 0"),
        (["--seed", "-1"], "found n=64, batch_size=64, seed=-1"),
        (["--device", "cuda:x"], "device 'cuda:x'"),
    ],
)
def test_wrong_settings_of_sample(run, fails, args, message, tmp_path):
    assert message in fails("sample", run, *args)
    assert not list(tmp_path.iterdir())


def test_sample_needs_a_checkpoint(fails, tmp_path):
    assert "missing: PATH" in fails("sample")
    assert "--n: expected a whole number, found 'few'" in fails("sample", "x", "--n", "few")
    assert "no checkpoint at none.safetensors" in fails("sample", "none.safetensors")
    assert "no checkpoint at" in fails("sample", tmp_path)
    torch.save({"w": torch.ones(1)}, tmp_path / "m.pth")
    assert "is a pickled PyTorch file" in fails("sample", "m.pth")
    (tmp_path / "m.safetensors").write_bytes(b"half")
    assert "m.safetensors is truncated" in fails("sample", "m.safetensors")


def test_a_folder_with_images_is_not_mixed(run, fails, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.png").touch()
    assert "folder is not an empty folder" in fails("sample", run, "--out", "folder")


def test_a_place_that_cannot_be_written(run, fails, tmp_path):
    (tmp_path / "file").touch()
    assert "file" in fails("sample", run, "--n", "1", "--out", "file/a.png")


# reconstruct


def test_reconstruct_prints_the_error_and_draws_pairs(run, tmp_path, capsys):
    assert main(["reconstruct", str(run), "--n", "4", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "(range [-1, 1], first 4 of digits test): reconstructions.png" in out
    assert 0 < float(out.split()[2]) < 4
    picture = np.asarray(Image.open("reconstructions.png"))
    first = load_images("digits", "test").images[0, 0].numpy()
    np.testing.assert_array_equal(picture[4 : 4 + 96 : 3, 4 : 4 + 96 : 3], first)


def test_reconstruct_takes_any_folder_of_images(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for i in range(3):
        Image.fromarray(np.full((32, 32), 80 * i, np.uint8)).save(tmp_path / "mine" / f"{i}.png")
    assert main(["reconstruct", str(run), "--data", "./mine", "--split", "all", "--n", "3", "--out", "r.png"]) == 0
    assert "first 3 of ./mine all): r.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--n", "298"], "n must be in 1..297, the images of digits test; found 298"),
        (["--n", "0"], "n must be in 1..297"),
        (["--split", "valid"], "unknown split 'valid': digits has the splits train, test"),
        (["--out", "r.jpg"], "must end in .png"),
        (["--data", "nope"], "unknown data set 'nope'"),
    ],
)
def test_wrong_settings_of_reconstruct(run, fails, args, message, tmp_path):
    assert message in fails("reconstruct", run, *args)
    assert not list(tmp_path.iterdir())


def test_reconstruct_of_a_bare_model_needs_data(fails, tmp_path):
    save(FSVAE(FSVAEConfig(T=4, latent=8, k=3, channels=(2, 3, 4, 5))), tmp_path / "m.safetensors")
    message = fails("reconstruct", "m.safetensors")
    assert "m.safetensors does not say what it was trained on; name a data set with --data" in message


# info


def test_info(run, capsys):
    assert main(["info", str(run)]) == 0
    told = json.loads(capsys.readouterr().out)
    model = load(run)
    assert told["kind"] == "fsvae"
    assert from_dict(FSVAEConfig, told["config"]) == model.config
    assert (told["data"], told["step"]) == ("digits", 60)
    assert from_dict(TrainConfig, told["training"]).epochs == 2
    assert told["parameters"] == sum(p.numel() for p in model.parameters())
    assert told["file"] == str(run / "model.safetensors")


def test_info_of_a_checkpoint_counts_the_model_alone(run, capsys):
    main(["info", str(run)])
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    main(["info", str(run / "checkpoint.safetensors")])
    assert json.loads(capsys.readouterr().out)["parameters"] == parameters


def test_info_of_nothing(fails):
    assert "no checkpoint at none" in fails("info", "none")
    assert "missing: PATH" in fails("info")


# doctor


def facts(text):
    """{first word of a line: the line}"""
    return {line.split()[0]: line for line in text.splitlines()}


def test_doctor_without_data(capsys):
    assert main(["doctor"]) == 0
    told = facts(capsys.readouterr().out)
    assert {"versions", "devices", "backends", "data"} <= told.keys()
    assert told["torch"].split()[1] == torch.__version__.partition("+")[0]
    assert "reference (forced by FSVAE_TCJA_BACKEND)" in told["cpu"]
    assert "found" in told["digits"]
    assert "4 of 4 files missing" in told["mnist"] and "2 of 2 files missing" in told["celeba"]


@pytest.mark.parametrize("way", ["option", "environment"])
def test_doctor_finds_data(capsys, tmp_path, monkeypatch, way):
    raw = tmp_path / "here" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, kind in itertools.product(("train", "t10k"), ("images-idx3", "labels-idx1")):
        (raw / f"{part}-{kind}-ubyte.gz").touch()
    if way == "environment":
        monkeypatch.setenv("FSVAE_TCJA_DATA", str(tmp_path / "here"))
    assert main(["doctor", *(["--data-root", "here"] if way == "option" else [])]) == 0
    told = facts(capsys.readouterr().out)
    assert told["mnist"].endswith("  found")
    assert "missing" in told["fashion-mnist"]


def test_an_error_as_a_process():
    done = subprocess.run([*PROGRAM, "train", "nope"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: unknown preset 'nope'")
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """An untrained autoencoder of the FAD."""
    path = tmp_path_factory.mktemp("fad") / "fad.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().save(path)
    return path


def test_score_takes_a_run_a_checkpoint_and_the_images_they_draw(run, autoencoder, tmp_path):
    assert main(["sample", str(run), "--n", "80", "--seed", "3", "--out", str(tmp_path / "drawn")]) == 0
    assert main(["sample", str(run), "--n", "80", "--seed", "3", "--out", str(tmp_path / "drawn.npz")]) == 0
    sources = [run, run / "model.safetensors", tmp_path / "drawn", tmp_path / "drawn.npz"]
    values = []
    for i, source in enumerate(sources):
        options = shlex.split("--seed 3 --n-images 80 --reference digits:test --device cpu")
        options += ["--networks.autoencoder", str(autoencoder), "--out", str(tmp_path / f"{i}.json")]
        assert main(["score", str(source), *options]) == 0
        (score,) = json.loads((tmp_path / f"{i}.json").read_text())
        assert (score["protocol"], score["n"], score["seed"]) == ("strict", 80, 3)
        values.append(score["value"])
    assert values == pytest.approx([values[0]] * 4, rel=1e-9)
    assert values[0] > 0


def test_what_is_scored_of_a_checkpoint_is_what_sample_draws(run):
    model = load(run)
    batches = drawn_from(model, 3, "a model").batches(7, 20)
    assert torch.equal(torch.cat([images for _, images in batches]), model.sample(20, seed=3))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """An untrained classifier of the domain scores."""
    path = tmp_path_factory.mktemp("domain") / "classifier.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Classifier().save(path)
    return path


def test_score_takes_a_checkpoint_as_reference(run, autoencoder, tmp_path):
    """As many images as are scored, on a seed of their own: two samples of one model are near and not equal."""
    network = ["--networks.autoencoder", str(autoencoder), "--device", "cpu"]
    values = {}
    for images, reference in itertools.product([run, "digits:train"], [run, run / "checkpoint.safetensors"]):
        options = ["--reference", str(reference), "--n-images", "300", "--out", "s.json", *network]
        assert main(["score", str(images), *options]) == 0
        (score,) = load_scores("s.json")
        assert score.n == 300 and score.seed == (0 if images == run else None)
        named = rf"fsvae on digits, step 60, {tensors_sha256(load(run).state_dict())[:8]}, seed \d+, 300 images"
        assert re.fullmatch(named, score.reference_description)
        values[images, reference] = score
    near, also_near, far, also_far = values.values()
    assert near - also_near == far - also_far == 0  # the run folder and its checkpoint are one reference
    assert 0 < near.value < 0.1 * far.value


@pytest.mark.parametrize("args", [("--while-training",), ("runs/mnist", "--while-training")])
def test_scores_while_training_are_asked_of_train(fails, args):
    assert "are asked of `fsvae-tcja train PRESET --score-every EPOCHS ...`" in fails("score", *args)


def test_wrong_settings_of_score(run, autoencoder, fails):
    network = ["--networks.autoencoder", autoencoder, "--reference", "digits", "--n-images", "80"]
    for seed in (-1, 2**63):
        assert f"seed must be in 0..2^63 - 1, found {seed}" in fails("score", run, "--seed", seed, *network)
    assert "give its path (--networks.autoencoder" in fails("score", run, "--n-images", 80, "--reference", "digits")


def test_help_of_score_points_to_scores_while_training(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert "While training: fsvae-tcja train PRESET --score-every EPOCHS" in capsys.readouterr().out


def scored(folder) -> dict[str, list]:
    """The scores of a run by epoch."""
    return {file.stem: load_scores(file) for file in sorted((folder / "scores").iterdir())}


def test_scores_while_training_are_kept_and_leave_the_weights_alone(run, autoencoder, classifier, tmp_path):
    options = ["--score-every", "2", "--score-n", "150", "--autoencoder", str(autoencoder)]
    assert train(tmp_path / "scored", *SHORT, *options, "--classifier", str(classifier)) == 0
    assert (tmp_path / "scored" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    scores = scored(tmp_path / "scored")
    assert list(scores) == ["epoch-002"]
    named = {"FAD": "fad_strict", "Domain-Frechet": "domain_frechet_strict", "Domain-IS": "domain_is_strict"}
    assert [(s.name, s.n, s.seed, s.protocol) for s in scores["epoch-002"]] == [(n, 150, 0, "strict") for n in named]
    (row,) = (row for row in map(json.loads, rows_of(tmp_path / "scored" / "metrics.jsonl")) if "fad_strict" in row)
    assert {name: row[name] for name in named.values()} == {named[s.name]: s.value for s in scores["epoch-002"]}
    networks = ["--networks.autoencoder", str(autoencoder), "--networks.classifier", str(classifier)]
    options = ["--reference", "digits", "--scores", *named, "--n-images", "150", "--out", "afterwards.json"]
    assert main(["score", str(run), *options, *networks, "--device", "cpu"]) == 0
    for a, b in zip(load_scores("afterwards.json"), scores["epoch-002"], strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-9) and (a.reference, a.extractor) == (b.reference, b.extractor)


@pytest.fixture(scope="module")
def stopped_once(quick, autoencoder, tmp_path_factory):
    """A run that is scored after every epoch and was stopped after the first."""
    evaluate, folder = FSVAETask.end_of_epoch, tmp_path_factory.mktemp("runs") / "stopped"

    def stop(task, epoch, run):
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(task, epoch, run)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(autoencoder.parent)  # its name is relative
        patch.setattr(FSVAETask, "end_of_epoch", stop)
        options = ["--score-every", "1", "--score-n", "120", "--autoencoder", autoencoder.name]
        assert train(folder, *SHORT, *options) == 130
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return shutil.copytree(stopped_once, tmp_path / "stopped")


def test_a_resumed_run_goes_on_scoring(run, stopped):
    assert main(["train", "--resume", str(stopped), "--device", "cpu"]) == 0
    assert (stopped / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    one, two = scored(stopped).values()
    assert [(s.name, s.n) for s in (*one, *two)] == [("FAD", 120), ("FAD", 120)]
    assert one[0].value != two[0].value


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--score-n", "100"], [("FAD", 100)]),
        (["--score-n", "100", "--scores", "Domain-IS", "--classifier", "CLASSIFIER"], [("Domain-IS", 100)]),
        (["--score-every", "0"], None),
        (["--score-every", "3"], None),
    ],
)
def test_what_is_said_on_resuming_replaces_what_was_said(stopped, classifier, options, expected):
    options = [str(classifier) if option == "CLASSIFIER" else option for option in options]
    assert main(["train", "--resume", str(stopped), "--device", "cpu", *options]) == 0
    scores = scored(stopped)
    assert [(s.name, s.n) for s in scores.get("epoch-002", [])] == (expected or [])
    remembered = json.loads((stopped / "scoring.json").read_text())
    assert remembered["score_every"] == (1 if expected else int(options[1]))
    assert remembered["score_n"] == (100 if expected else 120)


def test_a_damaged_memory_of_scores(stopped, fails):
    for text in ("{", "3", '{"score": 1}'):
        (stopped / "scoring.json").write_text(text)
        assert "scoring.json is damaged" in fails("train", "--resume", stopped)
    (stopped / "scoring.json").write_text('{"score_every": "often"}')
    assert "or 0 for none; found often" in fails("train", "--resume", stopped)


def test_a_new_run_does_not_remember(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "scoring.json").write_text('{"score_every": 1}')
    assert train(tmp_path / "new", "--epochs", "1") == 0
    assert not (tmp_path / "new" / "scoring.json").exists() and not (tmp_path / "new" / "scores").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--score-every", "1"],
            "(--networks.autoencoder; while training --autoencoder), or make one: python -m eval train-fad",
        ),
        (
            ["--score-every", "-1"],
            "--score-every must say how many epochs lie between two scores, or 0 for none; found",
        ),
        (["--autoencoder", "AUTOENCODER"], "--score-every must say how many epochs lie between two scores"),
        (["--score-every", "1", "--autoencoder", "absent.safetensors"], "absent.safetensors; make one with `python -m"),
        (["--score-every", "1", "--scores", "FID", "--autoencoder", "AUTOENCODER"], "protocol strict defines no FID"),
        (
            ["--score-every", "1", "--score-n", "9", "--scores", "Domain-IS", "--classifier", "CLASSIFIER"],
            "over 10 splits needs at least 10 images, found 9",
        ),
        (
            ["--score-every", "1", "--score-protocol", "fsvae2022", "--score-n", "9", "--autoencoder", "AUTOENCODER"],
            "FAD under protocol fsvae2022 takes exactly 5120 images, 9 were asked for",
        ),
    ],
)
def test_scores_while_training_are_checked_before_it(autoencoder, classifier, fails, tmp_path, options, message):
    files = {"AUTOENCODER": autoencoder, "CLASSIFIER": classifier}
    options = [files.get(option, option) for option in options]
    assert message in fails("train", "digits", *TINY, "--out", tmp_path / "new", *options)
    assert not list(tmp_path.iterdir())


def test_scoring_without_an_autoencoder_says_what_to_do(run, capsys):
    assert main(["score", str(run), "--n-images", "80", "--reference", "digits:test"]) == 2
    assert "make one: python -m eval train-fad" in capsys.readouterr().err
