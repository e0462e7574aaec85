"""torch-fidelity's own command line scores an exported generator."""

import json
import shlex

import numpy as np
import pytest
import torch
from torch_fidelity import fidelity

from fsvae_tcja import FSVAE, FSVAEConfig, save
from fsvae_tcja.cli import main
from fsvae_tcja.export.generator import Given
from fsvae_tcja.runtime.export import save_folder
from fsvae_tcja.vae import Poisson

N, SEED = 6, 2020  # torch-fidelity's --rng-seed


def score(monkeypatch, capsys, *args):
    options = "--cpu --fid --feature-layer-fid 64 --json --no-cache --silent --save-cpu-ram --batch-size 4"
    monkeypatch.setattr("sys.argv", ["fidelity", *map(str, args), *shlex.split(options)])
    fidelity.main()
    return json.loads(capsys.readouterr().out)["frechet_inception_distance"]


def test_the_command_line_scores_an_exported_generator(tmp_path, inception_weights, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    torch.manual_seed(0)
    model = FSVAE(FSVAEConfig(image_size=4, T=2, L=4, channels=(3,), latent=Poisson())).eval()
    for layer in (model.decoder.from_latent, *model.decoder.blocks):
        layer.norm.running_var.fill_(0.01)
    save(model, tmp_path / "model.safetensors")
    out = tmp_path / "generator.onnx"
    assert main(["export", str(tmp_path / "model.safetensors"), "--format", "torch-fidelity", "--out", str(out)]) == 0
    command = capsys.readouterr().out.splitlines()[1].split("--input1 ", 1)[1].replace("5000", str(N)).split()
    generator = torch.Generator().manual_seed(1)
    save_folder([torch.rand(N, 1, 4, 4, generator=generator) * 2 - 1], tmp_path / "real")
    weights = ["--feature-extractor-weights-path", inception_weights]
    command[-1] = tmp_path / "real"
    from_generator = score(monkeypatch, capsys, "--input1", *command, *weights)
    numbers = torch.from_numpy(np.random.RandomState(SEED).rand(N, 16)).float()
    drawn = model.sample(N, noise=model.latent.noise(Given(numbers)))
    assert drawn.std(0).max() > 0.01
    save_folder([drawn], tmp_path / "drawn")
    from_files = score(monkeypatch, capsys, "--input1", tmp_path / "drawn", "--input2", tmp_path / "real", *weights)
    assert from_generator == pytest.approx(from_files, rel=1e-6) and from_files > 0
