import pickle
from dataclasses import replace

import pytest
import torch

from eval import Autoencoder
from fsvae_tcja.vae import FSVAE, Bernoulli, FSVAEConfig, save
from fsvae_tcja.vae.interop import CONSTANTS, import_fsvae2022, our_name

from ..fuzz.inputs import ODD
from .conftest import LARGE


def authors_state_dict(model: FSVAE) -> dict[str, torch.Tensor]:
    """The same weights under the authors' names and shapes."""
    last = len(model.config.channels) - 1
    ours = model.state_dict()
    names = [f"encoder.{i}" for i in range(last + 1)] + [f"decoder.{i}" for i in range(last)]
    names += ["before_latent_layer", "decoder_input", "final_layer.0"]
    names += [f"{network}.layers.{i}" for network in ("prior", "posterior") for i in range(3)]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys = [f"{n}.{p}" for n in names for p in ("weight", "bias")] + [f"{n}.bn.{p}" for n in names for p in norm]
    state = {key: ours[our_name(key, last)] for key in [*keys, "final_layer.1.weight", "final_layer.1.bias"]}
    state = {key: value[..., None] if value.dim() == 4 else value for key, value in state.items()}
    constants = {name: torch.zeros(1, model.config.L, 1) for name in CONSTANTS[:2]}
    return state | constants | {CONSTANTS[2]: 0.8 ** torch.arange(model.config.T - 1, -1, -1.0).view(1, 1, 1, 1, -1)}


@pytest.mark.parametrize("config", [FSVAEConfig(T=5, L=7, latent=Bernoulli(k=3)), LARGE])
def test_round_trip_through_the_authors_names(tmp_path, config):
    model = FSVAE(config)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1)
    torch.save(authors_state_dict(model), tmp_path / "theirs.pth")
    imported = import_fsvae2022(tmp_path / "theirs.pth")
    assert imported.config == replace(config, latent=replace(config.latent, sampling="prefix"))
    assert not imported.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(imported.state_dict()[name], tensor), name


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        import_fsvae2022(tmp_path / "nothing.pth")


def test_truncated_file(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save(authors_state_dict(FSVAE(LARGE)), whole)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match="is truncated, or no plain PyTorch state dict"):
        import_fsvae2022(cut)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_malicious_file_is_refused_and_never_run(tmp_path):
    evil, proof = tmp_path / "evil.pth", tmp_path / "proof"
    torch.save({"encoder.0.weight": Payload(proof)}, evil)
    with pytest.raises(ValueError, match="no plain PyTorch state dict"):
        import_fsvae2022(evil)
    evil.write_bytes(pickle.dumps(Payload(proof)))
    with pytest.raises(ValueError, match="no plain PyTorch state dict"):
        import_fsvae2022(evil)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["prior.initial_input", "membrane_output_layer.coef"])
def test_other_constants_are_refused(tmp_path, name):
    state = authors_state_dict(FSVAE(LARGE))
    state[name] = state[name] + 0.1
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"another initial latent than 0 or another read-out decay than 0\.8"):
        import_fsvae2022(tmp_path / "other.pth")


def test_another_network(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not an FSVAE 2022 checkpoint: it lacks"):
        import_fsvae2022(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="is no plain PyTorch state dict: expected names and tensors"):
        import_fsvae2022(tmp_path / "list.pth")


def test_tensors_that_do_not_fit(tmp_path):
    state = authors_state_dict(FSVAE(LARGE))
    state["decoder_input.weight"] = torch.zeros(8, 7)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"decoder.from_latent.transform.weight has shape \[8, 7\], the model"):
        import_fsvae2022(tmp_path / "odd.pth")


@pytest.mark.parametrize("odd", ["complex", "sparse", "expanded", "expanded once more", "meta", "quantised", "list"])
@pytest.mark.parametrize(
    "name", ["encoder.0.weight", "membrane_output_layer.coef", "decoder_input.bn.num_batches_tracked"]
)
@pytest.mark.filterwarnings("ignore")
def test_odd_tensors_are_refused_by_name(tmp_path, name, odd):
    state = authors_state_dict(FSVAE(LARGE))
    state[name] = ODD[odd](state[name])
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd\.pth.* '{name}'.*"):
        import_fsvae2022(tmp_path / "odd.pth")


@pytest.mark.parametrize("name", [0, None, ("encoder", 0)])
def test_odd_names_are_refused(tmp_path, name):
    torch.save(authors_state_dict(FSVAE(LARGE)) | {name: torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth is no plain PyTorch state dict: expected names and tensors, found"):
        import_fsvae2022(tmp_path / "odd.pth")


@pytest.mark.parametrize("name", ["encoder.0.weight", "before_latent_layer.weight", "membrane_output_layer.coef"])
@pytest.mark.parametrize("shape", [(0,), (1,), (10**9, 0)])
def test_sizes_that_no_model_has(tmp_path, name, shape):
    torch.save(authors_state_dict(FSVAE(LARGE)) | {name: torch.zeros(shape)}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd\.pth: {name} has shape .*, which no FSVAE 2022 has"):
        import_fsvae2022(tmp_path / "odd.pth")


@pytest.mark.parametrize("inside", [None, "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_inside_a_training_checkpoint_and_of_data_parallel(tmp_path, caplog, inside, prefix):
    model = FSVAE(LARGE)
    state = {f"{prefix}{name}": tensor for name, tensor in authors_state_dict(model).items()}
    torch.save({inside: state, "epoch": 3} if inside else state, tmp_path / "theirs.pth")
    imported = import_fsvae2022(tmp_path / "theirs.pth")
    assert all(torch.equal(tensor, imported.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert len(caplog.records) == bool(inside) + bool(prefix)  # what is guessed is told
    assert all("theirs.pth" in record.message for record in caplog.records)


def test_weights_of_something_else_say_where_they_go(tmp_path):
    model = FSVAE(LARGE)
    torch.save(model.state_dict(), tmp_path / "ours.pth")
    with pytest.raises(ValueError, match="the weights of an FSVAE of this package"):
        import_fsvae2022(tmp_path / "ours.pth")
    torch.save(Autoencoder().state_dict(), tmp_path / "fad.pth")
    with pytest.raises(ValueError, match=r"the weights of the autoencoder of a FAD: --networks\.autoencoder"):
        import_fsvae2022(tmp_path / "fad.pth")
    save(model, tmp_path / "ours.safetensors")
    with pytest.raises(
        ValueError, match=r"ours\.safetensors is a safetensors file, .*; one of this package needs no import"
    ):
        import_fsvae2022(tmp_path / "ours.safetensors")
