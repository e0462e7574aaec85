"""fsvae-tcja info."""

import json

from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig, load, save
from fsvae_tcja.cli import main
from fsvae_tcja.utils.configuration import from_dict
from fsvae_tcja.vae.train import TrainConfig


def test_info_as_json(run, capsys):
    assert main(["info", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    model = load(run)
    assert found["kind"] == "fsvae"
    assert from_dict(FSVAEConfig, found["config"]) == model.config
    assert (found["data"], found["step"]) == ("digits", 60)
    assert from_dict(TrainConfig, found["training"]).epochs == 2
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["file"] == str(run / "model.safetensors")


def test_info_names_settings_as_the_options_that_set_them(run, capsys):
    assert main(["info", str(run)]) == 0
    lines = {tuple(line.split(maxsplit=1)) for line in capsys.readouterr().out.splitlines()}
    parameters = sum(p.numel() for p in load(run).parameters())
    assert {("kind", "fsvae"), ("data", "digits"), ("step", "60"), ("parameters", f"{parameters:,}")} <= lines
    assert {("batch-size", "50"), ("model.T", "4"), ("model.channels", "2 3 4 5"), ("betas", "0.9 0.999")} <= lines
    assert ("file", str(run / "model.safetensors")) in lines


def test_info_of_a_bare_model(capsys, tmp_path):
    save(FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))), tmp_path / "m.safetensors")
    assert main(["info", "m.safetensors"]) == 0
    assert ["model.tcja.encoder", "none"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_info_of_a_checkpoint_counts_the_model_alone(run, capsys):
    main(["info", str(run), "--json"])
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    main(["info", str(run / "checkpoint.safetensors"), "--json"])
    assert json.loads(capsys.readouterr().out)["parameters"] == parameters


def test_info_of_nothing(fails):
    assert "no checkpoint at none" in fails("info", "none")
    assert "missing: PATH" in fails("info")
