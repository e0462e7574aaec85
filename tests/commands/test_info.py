"""fsvae-tcja info."""

import json

from fsvae_tcja import FSVAEConfig, load
from fsvae_tcja.cli import main
from fsvae_tcja.utils.configuration import from_dict
from fsvae_tcja.vae.train import TrainConfig


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


def test_info_of_nothing(fails, usage_fails):
    assert "no checkpoint at none" in fails("info", "none")
    assert "Missing from fsvae-tcja info" in usage_fails("info")
