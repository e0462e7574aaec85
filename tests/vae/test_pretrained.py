"""Models to hand on: files in half precision, names of the package, folders, cards."""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval import Autoencoder, Classifier
from fsvae_tcja import FSVAE, Escape, FSVAEConfig, load
from fsvae_tcja.data.image_sets.mnist import CLOTHES
from fsvae_tcja.runtime import checkpoint, pretrained
from fsvae_tcja.vae.checkpoint import save
from fsvae_tcja.vae.noise import Streams

from .conftest import SMALL, awake

ESCAPE = FSVAEConfig(
    T=3,
    L=8,
    latent=Escape(groups=4, hidden=16, joint_groups=2, joint_hidden=8, clusters=3),
    neuron="centred",
    channels=(3, 4, 5, 6),
)


def trained(config):
    model = awake(config)
    if isinstance(config.latent, Escape):
        model.latent.start_stage(torch.eye(24, dtype=torch.uint8).view(24, 3, 8), torch.full((24,), -1))
        torch.nn.init.normal_(model.latent.prior.D)
    return model


@pytest.fixture(params=[ESCAPE, SMALL], ids=["escape", "bernoulli"])
def model(request):
    return trained(request.param)


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A folder that stands for the one of the package."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    return folder


def rounded(model):
    """The same model with weights that half precision can hold."""
    state = {name: t.half().float() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def test_a_half_file_draws_as_the_rounded_model(model, tmp_path):
    save(model, tmp_path / "half.safetensors", half=True)
    save(model, tmp_path / "whole.safetensors")
    loaded, whole = load(tmp_path / "half.safetensors"), rounded(load(tmp_path / "whole.safetensors"))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.sample(5, 3), whole.sample(5, 3))
    x = torch.rand(4, 1, 32, 32) * 2 - 1
    assert torch.equal(loaded.encode(x, noise=noise_for(loaded)), whole.encode(x, noise=noise_for(whole)))
    size = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert size[0] < 0.75 * size[1]


def noise_for(model):
    from fsvae_tcja.vae.sample import noise_of

    return noise_of(model, 1, 0, 4)


def test_what_only_training_needs_is_left_out(tmp_path):
    model = trained(ESCAPE)
    save(model, tmp_path / "half.safetensors", half=True)
    tensors, _ = checkpoint.read(tmp_path / "half.safetensors", "model.")
    assert not [name for name in tensors if "joint" in name]
    acting = int(model.latent.prior.mask.sum())
    assert tensors["latent.prior.D"].shape == (acting,) and acting < model.latent.prior.D.numel() / 2
    loaded = load(tmp_path / "half.safetensors")
    assert loaded.config == replace(ESCAPE, latent=replace(ESCAPE.latent, rate=0.0))
    z = model.encode(torch.rand(6, 1, 32, 32) * 2 - 1)
    assert torch.equal(loaded.latent.kinds_of(z), model.latent.kinds_of(z))
    torch.testing.assert_close(loaded.latent.nll(z), rounded(model).latent.nll(z))


def test_a_half_file_keeps_counts_that_half_precision_cannot_hold(tmp_path):
    model = trained(ESCAPE)
    model.latent.seen.copy_(torch.tensor([100_000.0, 60_000, 0, 0]))
    save(model, tmp_path / "half.safetensors", half=True)
    loaded, noise = load(tmp_path / "half.safetensors"), model.latent.noise(Streams(0, 0, 200))
    assert loaded.latent.seen.tolist() == [100_000, 60_000, 0, 0]
    assert torch.equal(loaded.latent.draw_kinds(noise), model.latent.draw_kinds(noise))


def test_a_half_file_with_another_number_of_synapses_is_refused(tmp_path):
    save(trained(ESCAPE), tmp_path / "half.safetensors", half=True)
    tensors, metadata = checkpoint.read(tmp_path / "half.safetensors")
    tensors["model.latent.prior.D"] = tensors["model.latent.prior.D"][1:]
    checkpoint.write(tmp_path / "bad.safetensors", tensors, metadata)
    with pytest.raises(ValueError, match=r"latent\.prior\.D has shape"):
        load(tmp_path / "bad.safetensors")


def test_a_folder_goes_and_comes(model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    again = FSVAE.from_pretrained(tmp_path / "mine")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert torch.equal(again.sample(3), model.sample(3))
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "FSVAE.from_pretrained" in card and f"{sum(p.numel() for p in model.parameters()):,}" in card


def test_names_of_the_package(packaged, model, tmp_path, monkeypatch):
    model.save_pretrained(packaged / "toy")
    Autoencoder().save(packaged / "toy" / "autoencoder.safetensors", half=True)
    monkeypatch.chdir(tmp_path)
    assert pretrained.names() == ["toy"]
    assert torch.equal(FSVAE.from_pretrained("toy").sample(2), model.sample(2))
    assert torch.equal(load("toy").sample(2), model.sample(2))
    assert Autoencoder.load("toy").sha256 == Autoencoder.load(packaged / "toy" / "autoencoder.safetensors").sha256
    trained(
        replace(model.config, channels=(2, 2, 2, 2), tcja=replace(model.config.tcja, decoder=(), encoder=()))
    ).save_pretrained("toy")
    assert FSVAE.from_pretrained("toy").config.channels == (2, 2, 2, 2)  # the user's own folder


def test_a_half_network_keeps_its_hash_and_its_features(tmp_path):
    network = Autoencoder().eval()
    network.save(tmp_path / "a.safetensors", half=True)
    again = Autoencoder.load(tmp_path / "a.safetensors")
    x = torch.rand(3, 1, 32, 32) * 2 - 1
    assert again.sha256 == network.sha256 and torch.equal(again.encode(x), network.encode(x))


def test_a_file_of_the_user_comes_before_a_name(packaged, tmp_path, monkeypatch, caplog):
    (packaged / "first").mkdir()
    (packaged / "first" / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first").mkdir()
    assert pretrained.located("first", "model.safetensors") == Path("first")
    assert "first is the one in this folder, not the pretrained model" in caplog.text


def test_an_unknown_name(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at nothing"):
        FSVAE.from_pretrained("nothing")


@pytest.mark.parametrize("name", pretrained.names())
def test_every_model_of_the_package(name):
    model = FSVAE.from_pretrained(name)
    drawn = model.sample(16)
    assert drawn.shape == (16, model.config.in_channels, model.config.image_size, model.config.image_size)
    assert drawn.std(0).mean() > 0.1  # they differ
    sevens = torch.full((16,), 7)
    assert torch.equal(model.sample(16, labels=sevens, batch_size=5), model.sample(16, labels=sevens))
    asked = torch.arange(100) % 10
    with torch.no_grad():
        found = Classifier.load(name)(model.sample(100, labels=asked)).argmax(1)
    assert (found == asked).float().mean() > 0.7  # .92 and .82 of more; by chance .1
    files = list((pretrained.FOLDER / name).glob("*.safetensors"))
    assert {file.stem for file in files} == {"model", "autoencoder", "classifier"}
    assert all(file.stat().st_size < 2.5e6 for file in files)
    card = (pretrained.FOLDER / name / "README.md").read_text()
    assert re.search(r"FAD \d", card) and "fsvae-tcja train" in card
    autoencoder, classifier = Autoencoder.load(name).provenance, Classifier.load(name).provenance
    assert autoencoder["data"] == classifier["data"] == name and autoencoder["images"] == 60_000
    assert f"MSE {autoencoder['test_mse']:.4f}" in card and f"accuracy {classifier['test_accuracy']:.4f}" in card


def test_the_pretrained_clothes_know_their_names():
    names = FSVAE.from_pretrained("fashion-mnist").class_names
    assert names == CLOTHES and names[7] == "sneaker"  # of Fashion-MNIST, in the order of its labels


def test_a_training_starts_from_a_published_model(tmp_path, caplog):
    """The joint prior, which the file lacks, starts as it is; a file that lost a part of it is refused."""
    torch.manual_seed(1)
    published, model = trained(ESCAPE), FSVAE(ESCAPE)
    save(published, tmp_path / "model.safetensors", half=True)
    before, wanted = deepcopy(model.state_dict()), load(tmp_path).state_dict()
    checkpoint.start_from(model, tmp_path, "fsvae")
    found = model.state_dict()
    joint = {name for name in found if name.startswith("latent.joint.")}
    assert joint and all(torch.equal(found[name], (before if name in joint else wanted)[name]) for name in found)
    assert "latent.joint, which only training needs, starts anew" in caplog.text
    save(published, tmp_path / "whole.safetensors")
    tensors, metadata = checkpoint.read(tmp_path / "whole.safetensors")
    del tensors["model.latent.joint.W"]
    checkpoint.write(tmp_path / "part.safetensors", tensors, metadata)
    with pytest.raises(ValueError, match=r"latent\.joint\.W is missing"):
        checkpoint.start_from(model, tmp_path / "part.safetensors", "fsvae")


def test_a_name_that_is_nearly_known():
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at mnst \(did you mean 'mnist'\?\): give a run folder"):
        load("mnst")
