"""Small files that would fill the memory, or that would make a model which does: refused, with the figure."""

import gzip
import struct
import zipfile
import zlib
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

from classifiers import ClassifierConfig, SpikingClassifier
from classifiers.description import parse
from eval import open_images
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig
from fsvae_tcja.cli import main
from fsvae_tcja.data.idx import read_idx, unzipped
from fsvae_tcja.data.image_file import read_header, read_image
from fsvae_tcja.data.resize import resized
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.utils.configuration import to_dict
from fsvae_tcja.vae import load

from .limits import attempt

SMALL = 10**7  # bytes that reading any of them may take
HUGE = 2**31 - 1


def refused(read, path, message, memory=SMALL):
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert path.name in str(error.value)
    outcome = attempt(read, path)
    assert (outcome.kind, outcome.what) == ("refused", "")
    assert outcome.memory < memory


@pytest.fixture(scope="module")
def zeros():
    """64 MiB of zeros, gzipped: 0.3 MB."""
    return gzip.compress(bytes(2**26), 1)


def test_a_stream_that_goes_on_behind_what_its_header_announces(tmp_path, zeros):
    header = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 3)
    (tmp_path / "images.gz").write_bytes(gzip.compress(header + bytes(18)) + zeros)
    refused(lambda path: read_idx(path, 3), tmp_path / "images.gz", "holds 19 elements or more, .* 2 x 3 x 3 = 18")


def test_a_header_that_announces_more_than_any_set_has(tmp_path, zeros):
    (tmp_path / "images.gz").write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 10**6, 10**3, 10**3)) + zeros)
    message = "1000000 x 1000 x 1000 = 1000000000000, expected 1.07 GB at most"
    refused(lambda path: read_idx(path, 3), tmp_path / "images.gz", message)


def test_no_more_than_a_gigabyte_is_decompressed(tmp_path, zeros):
    (tmp_path / "table.csv.gz").write_bytes(zeros)
    with patch("fsvae_tcja.data.idx.MOST", 10**6), pytest.raises(ValueError, match=r"holds more than 0\.001 GB"):
        unzipped(tmp_path / "table.csv.gz")


def announcing(path, size):
    """A zip file of one small member whose table of contents announces another size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(1000))
        archive.filelist[0].file_size = size
    return path


def test_archives(tmp_path):
    message = "would unpack from .* to 2.15 GB, more than 200 times its size"
    refused(open_images, announcing(tmp_path / "images.npz", HUGE), message)
    refused(checkpoint.read_state_dict, announcing(tmp_path / "weights.pth", HUGE), message)


def test_an_array_whose_header_announces_more_than_the_file_holds(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((1, 8, 8), np.uint8))
    whole = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(whole.replace(b"(1, 8, 8), }       ", b"(10000000, 8, 8), }"))
    refused(open_images, tmp_path / "images.npy", "cannot read images from .*images.npy")


def png(width, height):
    """The beginning of a PNG of this size."""
    chunks = (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100)))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("side", [10_000, 60_000])  # below and above twice Pillow's limit, where it refuses by itself
@pytest.mark.parametrize("read", [read_header, lambda path: read_image(path, 3, 8)])
def test_images_of_too_many_pixels(tmp_path, read, side):
    (tmp_path / "image.png").write_bytes(png(side, side))
    refused(read, tmp_path / "image.png", r"(10,000 x 10,000|3600000000) pixels")


def test_images_brought_to_a_size_that_memory_does_not_hold():
    with pytest.raises(ValueError, match=r"2 images of 10,000,000 x 10,000,000 pixels needs at least 400,000 GB"):
        resized(np.zeros((2, 4, 4), np.uint8), 10**7)


@pytest.mark.parametrize(
    "change",
    [
        {"L": 10**9},
        {"T": 10**8},
        {"channels": (10**6, 10**6, 10**6, 10**6)},
        {"latent": Bernoulli(k=10**9)},
        {"image_size": 2**25, "channels": (1,) * 24},
    ],
)
def test_a_model_that_memory_does_not_hold_is_not_built(change):
    config = replace(FSVAEConfig(), **change)
    with pytest.raises(ValueError, match=r"needs at least [\d,.e+]+ GB of memory, .* GB are free"):
        FSVAE(config)


def test_a_checkpoint_that_asks_for_more_than_it_holds(tmp_path):
    path, small = tmp_path / "model.safetensors", FSVAEConfig(image_size=4, T=2, L=2, channels=(2,))
    tensors = {f"model.{name}": tensor for name, tensor in FSVAE(small).state_dict().items()}
    for change in ({"L": 10**5}, {"L": 10**9}, {"T": 10**8}, {"latent": Bernoulli(k=10**6)}):
        checkpoint.write(path, tensors, {"kind": "fsvae", "config": to_dict(replace(small, **change))})
        refused(load, path, "holds no configuration that a model can be built from .* needs at least .* GB")


@pytest.mark.parametrize("layers", ["FC999999999 LIF FC999999999", "128C AP->999999 GAP FC10", "999999999C GAP FC10"])
def test_networks_that_memory_does_not_hold(layers):
    with pytest.raises(ValueError, match=r"a network of this description needs at least .* GB of memory, .* are free"):
        SpikingClassifier(ClassifierConfig(layers))


def test_numbers_beyond_any_layer():
    with pytest.raises(ValueError, match=r"a layer's numbers must be below 10\^9, found 'FC10000"):
        parse("FC1" + "0" * 23)


def test_the_program_says_what_a_training_step_takes(capsys):
    tiny = ["train", "fsvae2022-mnist", "--device", "cpu", "--dry-run"]
    assert main(tiny) == 0
    assert '"least_memory_of_a_step": "0.' in capsys.readouterr().out
    assert main([*tiny, "--batch-size", "60000", "--model.T", "1000"]) == 2
    assert "a training step needs at least" in capsys.readouterr().err


def test_tensors_on_the_meta_device_take_no_memory():
    with torch.device("meta"):
        FSVAE(FSVAEConfig(L=10**6))
