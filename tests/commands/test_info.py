"""fsvae-tcja info."""

import json
import re

import classifiers
from classifiers import ClassifierConfig, SpikingClassifier
from eval import Autoencoder
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig, load, save
from fsvae_tcja.cli import main
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.utils.once import warn_once
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
    lines = {tuple(re.split(r"  +", line.strip())) for line in capsys.readouterr().out.splitlines()}
    parameters = sum(p.numel() for p in load(run).parameters())
    assert {("kind", "fsvae"), ("step", "60"), ("parameters in the file", f"{parameters:,}")} <= lines
    assert {("batch-size", "50"), ("model.T", "4"), ("model.channels", "2 3 4 5"), ("betas", "0.9 0.999")} <= lines
    assert ("file", str(run / "model.safetensors")) in lines


def test_info_leaves_out_what_is_empty(run, capsys):
    checkpoint_of_run = run / "checkpoint.safetensors"
    assert checkpoint.read_metadata(checkpoint_of_run)["scaler"] == {}
    assert main(["info", str(checkpoint_of_run)]) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert not {"scaler", "data_notes"} & {words[0] for words in told}
    assert all(len(words) > 1 for words in told if words[0] not in ("checkpoint", "settings", "layers"))


def test_info_of_a_bare_model(capsys, tmp_path):
    save(FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))), tmp_path / "m.safetensors")
    assert main(["info", "m.safetensors"]) == 0
    assert ["model.tcja.encoder", "none"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_info_of_a_checkpoint_counts_the_model_alone(run, capsys):
    main(["info", str(run), "--json"])
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    main(["info", str(run / "checkpoint.safetensors"), "--json"])
    assert json.loads(capsys.readouterr().out)["parameters"] == parameters


def test_info_shows_the_layers(run, capsys):
    assert main(["info", str(run)]) == 0
    out = capsys.readouterr().out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("  encoder.blocks.0 "))
    assert row[1:6] == ["2x16x16", str(2 * 9 + 2 + 4), "fsvae2022", "0.2", "0.25"]
    main(["info", str(run), "--json"])
    json.loads(capsys.readouterr().out)


def test_info_of_a_pretrained_model_has_nothing_to_tell_but_facts(capsys, monkeypatch, caplog):
    monkeypatch.delenv("FSVAE_TCJA_BACKEND")
    warn_once.cache_clear()
    assert main(["info", "mnist"]) == 0
    assert "made_of" not in capsys.readouterr().out
    assert not caplog.records  # such as of the ANN VAE that the energy is compared with: it needs no fused kernel


def test_info_shows_the_layers_of_a_classifier(capsys, tmp_path):
    model = SpikingClassifier(ClassifierConfig("4C MP2 FC3", 2, (1, 4, 4), 3))
    classifiers.save(model, tmp_path / "c.safetensors")
    assert main(["info", "c.safetensors"]) == 0
    assert ["layers.0", "4x4x4"] in [line.split()[:2] for line in capsys.readouterr().out.splitlines()]


def test_info_of_a_network_of_scores(autoencoder, capsys):
    assert main(["info", str(autoencoder)]) == 0
    learned = sum(p.numel() for p in Autoencoder.load(autoencoder).parameters())
    assert ["parameters", "in", "the", "file", f"{learned:,}"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]


def test_info_of_what_cannot_be_built(capsys, tmp_path):
    save(FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))), tmp_path / "m.safetensors")
    tensors, metadata = checkpoint.read(tmp_path / "m.safetensors")
    metadata["config"]["neuron"] = {"type": "Mine", "v_th": 1.0}
    checkpoint.write(tmp_path / "m.safetensors", tensors, metadata)
    assert main(["info", "m.safetensors"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("  not shown: ") and "Mine" in last


def test_info_of_nothing(fails):
    assert "no checkpoint at none" in fails("info", "none")
    assert "missing: PATH" in fails("info")


def test_epochs_are_not_shown_as_the_length_where_steps_are(tmp_path, capsys):
    model = FSVAE(FSVAEConfig(image_size=4, T=2, L=4, channels=(3,)))
    for steps, told in ((7, True), (0, False)):
        config = TrainConfig(model=model.config, epochs=5, steps=steps)
        save(model, tmp_path / f"{steps}.safetensors", training=to_dict(config))
        assert main(["info", str(tmp_path / f"{steps}.safetensors")]) == 0
        assert ("5 (not used: the steps are set)" in capsys.readouterr().out) == told
