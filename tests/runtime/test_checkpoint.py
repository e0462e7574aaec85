import json
import os
import pickle
import struct
import zlib

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig, TCJAConfig, load, save
from fsvae_tcja.core import FSVAE_LIF
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.checkpoint import KEY, load_into, read, read_metadata, read_state_dict, write
from fsvae_tcja.vae.interop import import_fsvae2022

CONFIG = FSVAEConfig(
    T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5), tcja=TCJAConfig(encoder=(1,), decoder=(2,))
)
TENSORS = {
    "model.float": torch.tensor([0.1, -0.0, 1e-42, float("inf"), float("nan")]),
    "model.half": torch.tensor([[1.5, 2.5]], dtype=torch.bfloat16),
    "model.count": torch.tensor(7),
    "optimizer.0.step": torch.tensor(3.0),
    "model.strided": torch.arange(6.0).view(2, 3).t(),
}
METADATA = {"kind": "test", "step": 3, "nested": {"T": 4, "channels": [2, 3]}}


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "a.safetensors", TENSORS, METADATA)
    return tmp_path / "a.safetensors"


@pytest.fixture
def model():
    """A model whose neurons fire in eval mode too, with running statistics that have moved."""
    torch.manual_seed(0)
    model = FSVAE(CONFIG)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.bias"):
            torch.nn.init.constant_(parameter, FSVAE_LIF.v_th)
    model(torch.rand(8, 1, 32, 32) * 2 - 1)
    return model


def bits(tensor):
    return tensor.dtype, tensor.shape, tensor.contiguous().view(-1).view(torch.uint8).tolist()


# writing and reading


def test_round_trip_is_bit_for_bit(path):
    tensors, metadata = read(path)
    assert metadata == METADATA
    assert {name: bits(t) for name, t in tensors.items()} == {name: bits(t) for name, t in TENSORS.items()}


def test_numbers_as_keys_are_read_as_text(tmp_path):
    write(tmp_path / "a.safetensors", {}, {"callbacks": {"best": {2: 0.5, 10: (1, 2)}}})
    assert read_metadata(tmp_path / "a.safetensors") == {"callbacks": {"best": {"2": 0.5, "10": [1, 2]}}}


def test_prefix_chooses_and_is_cut_off(path):
    assert read(path, "optimizer.")[0].keys() == {"0.step"}
    assert read(path, "none") == ({}, METADATA)


def test_gradients_are_left_behind(tmp_path):
    write(tmp_path / "a.safetensors", {"w": torch.ones(2, requires_grad=True)}, {})
    assert not read(tmp_path / "a.safetensors")[0]["w"].requires_grad


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.pt: its name must end in \.safetensors"):
        write(tmp_path / "a.pt", TENSORS, METADATA)
    assert not list(tmp_path.iterdir())


def half_written(flat, temporary, metadata):
    temporary.write_bytes(b"half")
    raise OSError("no space left")


def not_replaced(source, target):
    raise OSError("no space left")


@pytest.mark.parametrize(
    ("owner", "function", "failure"), [(checkpoint, "save_file", half_written), (os, "replace", not_replaced)]
)
def test_a_failure_leaves_the_old_file_whole(path, monkeypatch, owner, function, failure):
    before = path.read_bytes()
    monkeypatch.setattr(owner, function, failure)
    with pytest.raises(OSError, match="no space left"):
        write(path, {"model.float": torch.zeros(5)}, METADATA)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# files that are no checkpoints


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*none\.safetensors"):
        read(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read(tmp_path)


def test_truncated_anywhere(path):
    data = path.read_bytes()
    (header,) = struct.unpack("<Q", data[:8])
    for size in (0, 1, 7, 8, 9, 8 + header // 2, 8 + header, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"a\.safetensors is truncated or not a safetensors file"):
            read(path)


def test_a_flipped_bit_in_any_tensor(path):
    whole = path.read_bytes()
    data = 8 + struct.unpack("<Q", whole[:8])[0]
    for at in range(data, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(
            ValueError, match=r"a\.safetensors is damaged: \S+ is not what was written; fetch or save it"
        ):
            read(path)
    assert read(path, "none") == ({}, METADATA)


def test_a_flipped_bit_in_the_metadata(path):
    whole = path.read_bytes()
    for old, new in ((b'step\\": 3', b'step\\": 7'), (b'T\\": 4', b'T\\": 6')):
        assert whole.count(old) == 1
        path.write_bytes(whole.replace(old, new))
        for reader in (read, read_metadata):
            with pytest.raises(
                ValueError, match=r"a\.safetensors has damaged fsvae-tcja metadata \(not what was written\); fetch"
            ):
                reader(path)


@pytest.mark.parametrize(("old", "new"), [(b'"F32"', b'"I32"'), (b"[3,2]", b"[2,3]")])
def test_another_type_or_shape_in_the_header(path, old, new):
    """The numbers are the same, what they mean is not."""
    whole = path.read_bytes()
    path.write_bytes(whole.replace(old, new))
    assert path.read_bytes() != whole
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged: \S+ is not what was written"):
        read(path)


def test_a_tensor_that_was_taken_out(path):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({name: t.contiguous() for name, t in TENSORS.items() if name != "model.count"}, path, metadata)
    for prefix in ("", "model."):
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged: model\.count is missing"):
            read(path, prefix)
    assert read(path, "optimizer.")[0].keys() == {"0.step"}


def test_checksums_of_an_earlier_version_are_checked(tmp_path):
    """Of the numbers alone."""
    path, x = tmp_path / "x.safetensors", torch.ones(2)
    sums = {"": zlib.crc32(b'{"step": 3}'), "x": zlib.crc32(x.numpy().tobytes())}
    save_file({"x": x}, path, metadata={KEY: json.dumps({"step": 3, "crc32": sums})})
    assert read(path)[0]["x"].tolist() == [1, 1] and read(path)[1] == {"step": 3}
    save_file({"x": x + 1}, path, metadata={KEY: json.dumps({"step": 3, "crc32": sums})})
    with pytest.raises(ValueError, match="is damaged: x is not what was written"):
        read(path)


def test_crafted_checksums(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors", metadata={KEY: '{"crc32": 3}'})
    with pytest.raises(ValueError, match=r"x\.safetensors has damaged fsvae-tcja metadata .*; fetch or save it anew"):
        read(tmp_path / "x.safetensors")


def test_a_file_without_checksums_is_read(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors", metadata={KEY: "{}"})
    assert read(tmp_path / "x.safetensors")[0]["x"].tolist() == [1, 1]


@pytest.mark.parametrize("size", [0x4B50, 0x04034B50, 0x0280])
def test_truncated_with_a_header_size_that_looks_like_another_format(tmp_path, size):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", size) + b'{"__metadata__"')
    with pytest.raises(ValueError, match="is truncated"):
        read(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("cut", [None, 200])
def test_a_pickled_file_is_named(tmp_path, zipped, cut):
    path = tmp_path / "a.safetensors"
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"pickled PyTorch file, which could run code .*: fsvae-tcja import "):
        read(path)


def test_a_foreign_file_is_refused(tmp_path):
    save_file({"w": torch.ones(3)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"has no fsvae-tcja metadata: it was not written by this package"):
        read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("metadata", ["[]", "{bad", "3", "null", "[" * 100_000, ""])
def test_a_crafted_story_is_refused(tmp_path, metadata):
    save_file({"w": torch.ones(3)}, tmp_path / "a.safetensors", metadata={KEY: metadata})
    for reader in (read, read_metadata, load):
        with pytest.raises(ValueError, match=r"a\.safetensors has damaged fsvae-tcja metadata"):
            reader(tmp_path / "a.safetensors")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("reader", [read, load, read_state_dict, import_fsvae2022])
def test_a_malicious_pickle_is_never_executed(tmp_path, form, reader):
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(mark))).close()
    assert mark.exists()
    mark.unlink()

    path = tmp_path / "a.safetensors"
    state = {"encoder.0.weight": Payload(mark)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        reader(path)
    assert not mark.exists()


# filling a model


def test_load_into_names_each_tensor_that_does_not_fit(model):
    state = model.state_dict()
    before = {name: t.clone() for name, t in state.items()}
    wrong = dict(state)
    del wrong["decoder.readout.conv.bias"]
    wrong["encoder.extra"] = torch.ones(1)
    wrong["encoder.to_latent.transform.weight"] = torch.ones(8, 7)
    with pytest.raises(ValueError, match="does not fit this model") as error:
        load_into(model, wrong, "a.safetensors")
    message = str(error.value)
    assert message.startswith("a.safetensors")
    assert "decoder.readout.conv.bias is missing" in message
    assert "encoder.extra is unknown to the model" in message
    assert "encoder.to_latent.transform.weight has shape [8, 7], the model [8, 20]" in message
    assert "more" not in message.split("Sizes (and T")[0]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_load_into_counts_what_it_does_not_name(model):
    with pytest.raises(ValueError, match=f"and {len(model.state_dict()) - 3} more"):
        load_into(model, {}, "a.safetensors")


# the FSVAE


def rewrite(path, change):
    """Change the metadata inside a checkpoint, or its tensors."""
    tensors, metadata = read(path)
    change(tensors, metadata)
    write(path, tensors, metadata)


def test_model_comes_back_with_configuration_and_samples(tmp_path, model):
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.config == CONFIG
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in model.state_dict().items())
    samples = again.sample(3, seed=5)
    assert torch.equal(samples, model.sample(3, seed=5))
    assert len(samples.unique(dim=0)) == 3


def test_load_takes_a_run_folder_and_strings(tmp_path, model):
    save(model, tmp_path / "model.safetensors")
    for path in (tmp_path, str(tmp_path), str(tmp_path / "model.safetensors")):
        assert load(path).config == CONFIG
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint at .*empty/model\.safetensors: .*empty is no run folder"
    ):
        (tmp_path / "empty").mkdir()
        load(tmp_path / "empty")


def test_configuration_is_readable_without_this_package(tmp_path, model):
    save(model, tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(json.loads(data[8 : 8 + header])["__metadata__"][KEY])
    assert metadata["config"]["T"] == 4
    assert metadata["config"]["channels"] == [2, 3, 4, 5]


def test_another_T_than_that_of_the_weights(tmp_path, model):
    path = tmp_path / "m.safetensors"
    save(model, path)
    rewrite(path, lambda tensors, metadata: metadata["config"].update(T=5))
    with pytest.raises(
        ValueError, match=r"cla\S* has shape \[4, 4, 4\], the model \[5, 5, 4\].*Sizes \(and T, with TCJA\) are"
    ):
        load(path)


def test_another_kind(tmp_path, model):
    path = tmp_path / "m.safetensors"
    save(model, path)
    rewrite(path, lambda tensors, metadata: metadata.update(kind="autoencoder"))
    with pytest.raises(ValueError, match=r"m\.safetensors holds a 'autoencoder', expected 'fsvae'"):
        load(path)


def test_an_unknown_key_in_the_configuration(tmp_path, model):
    path = tmp_path / "m.safetensors"
    save(model, path)
    rewrite(path, lambda tensors, metadata: metadata["config"].update(steps=5))
    with pytest.raises(ValueError, match="unknown key 'steps' in FSVAEConfig"):
        load(path)


def test_a_tensor_too_few(tmp_path, model):
    path = tmp_path / "m.safetensors"
    save(model, path)
    rewrite(path, lambda tensors, metadata: tensors.pop("model.latent.prior.layers.0.transform.bias"))
    with pytest.raises(ValueError, match=r"m\.safetensors .*prior\.layers\.0\.transform\.bias is missing"):
        load(path)


def test_find_takes_the_model_of_a_run_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert checkpoint.find(tmp_path) == tmp_path / "model.safetensors"
    (tmp_path / "a.safetensors").touch()
    assert checkpoint.find(str(tmp_path / "a.safetensors")) == tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*b\.safetensors: give a run folder"):
        checkpoint.find(tmp_path / "b.safetensors")
