"""fsvae-tcja import and export: the FSVAE authors' files both ways."""

import sys

import numpy as np
import pytest
import torch

from eval.networks.autoencoder import Autoencoder
from eval.reference import load_reference
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig, load, save
from fsvae_tcja.cli import main
from fsvae_tcja.vae.export import fsvae2022_state_dict

LARGE = FSVAEConfig(image_size=64, in_channels=3, T=3, L=6, latent=Bernoulli(k=2), channels=(3, 4, 5, 6, 7))


def equal(a, b):
    assert list(a) == list(b) or a.keys() == b.keys()
    return all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


def round_trip(file, tmp_path):
    assert main(["import", str(file), "--out", str(tmp_path / "ours.safetensors")]) == 0
    assert main(["export", str(tmp_path / "ours.safetensors"), "--out", str(tmp_path / "theirs.pth")]) == 0
    return torch.load(tmp_path / "theirs.pth", weights_only=True)


def test_an_authors_checkpoint_comes_back_tensor_for_tensor(golden, tmp_path, capsys):
    file = golden / "fsvae_authors_state_dict.pt"
    assert equal(round_trip(file, tmp_path), torch.load(file, weights_only=True))
    assert "FSVAE for 1x32x32, T = 8, L = 16: " in capsys.readouterr().out


def test_a_model_for_64_pixels_comes_back(tmp_path):
    torch.manual_seed(0)
    model = FSVAE(LARGE)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1)
    theirs = fsvae2022_state_dict(model)
    assert theirs["encoder.4.weight"].shape == (7, 6, 3, 3, 1) and theirs["decoder.3.weight"].shape == (4, 3, 3, 3, 1)
    assert theirs["membrane_output_layer.coef"].flatten().tolist() == pytest.approx([0.64, 0.8, 1.0])
    torch.save(theirs, tmp_path / "large.pth")
    assert equal(round_trip(tmp_path / "large.pth", tmp_path), theirs)
    again = load(tmp_path / "ours.safetensors")
    assert equal(again.state_dict(), model.state_dict()) and again.config.latent.sampling == "prefix"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"latent": "escape"}, "latent"),
        ({"readout": "taid"}, "readout"),
        ({"neuron": "centred"}, "neuron"),
        ({"image_size": 16, "channels": (2, 3, 4)}, "image_size"),
    ],
)
def test_what_their_program_has_not(tmp_path, fails, changes, named):
    config = FSVAEConfig(**{"T": 2, "L": 16, "channels": (2, 3, 4, 5), **changes})
    save(FSVAE(config), tmp_path / "model.safetensors")
    message = fails("export", tmp_path / "model.safetensors", "--out", tmp_path / "out.pth")
    assert f"the FSVAE 2022 program has no such model, for this one differs in {named}: it has images" in message
    assert "--format onnx" in message
    assert not (tmp_path / "out.pth").exists()


def test_an_autoencoder_and_its_statistics(tmp_path, capsys):
    torch.manual_seed(0)
    network = Autoencoder(latent=5).eval()
    torch.save(network.state_dict(), tmp_path / "mine_5.pth")
    assert main(["import", str(tmp_path / "mine_5.pth")]) == 0
    ours = Autoencoder.load(tmp_path / "mine_5.safetensors")
    assert ours.sha256 == network.sha256 and ours.provenance == {"file": "mine_5.pth"}
    sigma = np.diag(np.arange(1.0, 6.0))
    np.savez(tmp_path / "mine_test_5.npz", mu=np.arange(5.0), sigma=sigma)
    file = str(tmp_path / "mine_test_5.npz")
    assert main(["import", file, "--autoencoder", str(tmp_path / "mine_5.safetensors")]) == 0
    reference = load_reference(tmp_path / "mine_test_5.safetensors")
    assert reference.key["extractor"] == network.sha256
    assert reference.statistics.mean.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(reference.statistics.covariance, torch.from_numpy(sigma))


def test_published_statistics_are_known(real_data, tmp_path, capsys):
    folder = real_data / "fad-2022"
    options = ["--autoencoder", str(folder / "mnist_64.pth"), "--out", str(tmp_path / "statistics.safetensors")]
    assert main(["import", str(folder / "mnist_test_64.npz"), *options]) == 0
    assert "statistics of mnist test (published), 10000 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "file", "about"),
    [
        ("torch --what z", "fsvae.pt2", "z [T, N, L] = [4, N, 8], of 0 and 1 -> images [N, 1, 32, 32] in [-1, 1]"),
        ("nir", "fsvae.nir", "images [1, 32, 32] in [-1, 1] at each of T = 4 steps of 0.0001 s -> spikes [L, 1, 1]"),
    ],
)
def test_other_formats_say_what_they_take(run, capsys, tmp_path, options, file, about):
    if "nir" in options:
        pytest.importorskip("nir")
    capsys.readouterr()
    assert main(["export", str(run), "--format", *options.split()]) == 0
    found = capsys.readouterr()
    first, second = found.out.splitlines()
    said = "tracing the generator, which takes some ten seconds on a CPU for a model of the presets\n"
    assert found.err == (said if "torch" in options else "")
    assert first == f"{run} as {options.split()[0]}: {file}" and second.startswith(about)
    assert (tmp_path / file).stat().st_size > 1000


def test_parts_that_a_format_has_not(run, fails, monkeypatch):
    assert "unknown input 'head'" in fails("export", run, "--format", "torch", "--what", "head")
    assert "fsvae2022 holds the whole model: leave --what z away" in fails("export", run, "--what", "z")
    assert "'noise' is no part for NIR: the latent draws" in fails("export", run, "--format", "nir", "--what", "noise")
    monkeypatch.setitem(sys.modules, "nir", None)
    assert "this needs nir: pip install 'fsvae-tcja[nir]'" in fails("export", run, "--format", "nir")


def test_wrong_files(tmp_path, run, fails):
    assert "no checkpoint at" in fails("import", "nothing.pth")
    assert "no statistics at" in fails("import", "nothing.npz", "--autoencoder", "x.pth")
    (tmp_path / "bad.pth").write_bytes(b"PK\x03\x04 and nothing")
    assert "bad.pth" in fails("import", "bad.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    assert "is not an FSVAE 2022 checkpoint: it lacks" in fails("import", "other.pth")
    assert "--autoencoder goes with statistics" in fails("import", "other.pth", "--autoencoder", "x.pth")
    np.savez(tmp_path / "s.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert "does not say which autoencoder made it" in fails("import", "s.npz")
    assert "unknown format 'keras': choose one of ['fsvae2022', 'onnx'" in fails("export", run, "--format", "keras")
