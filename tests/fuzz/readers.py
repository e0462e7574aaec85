"""Every reader of the packages that takes bytes of others: a valid file for it, and what to put in its place."""

import csv
import gzip
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import torch
from hypothesis.strategies import SearchStrategy
from PIL import Image

from classifiers import ClassifierConfig, SpikingClassifier
from classifiers import checkpoint as classifier_checkpoint
from classifiers.description import parse
from classifiers.files import read_inputs
from eval import Autoencoder, Classifier, Score, get_protocol, load_reference, load_scores, open_images, save_scores
from eval.checkpoints import find_checkpoint, open_checkpoint
from eval.measures.frechet import GaussianStatistics
from eval.networks.weights import WeightsFile, read_weights
from eval.provenance import json_sha256, tensors_sha256
from eval.reference import Reference, holds_statistics, load_fsvae2022_reference
from eval.result import side_by_side
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig, TrainConfig
from fsvae_tcja.commands import info
from fsvae_tcja.commands.ablation.study import read_study
from fsvae_tcja.commands.scoring import ScoringOptions
from fsvae_tcja.commands.train import TRAIN
from fsvae_tcja.data import IMAGE_SETS
from fsvae_tcja.data.events.cache import FrameCache
from fsvae_tcja.data.events.formats import read_aedat2, read_aedat3, read_atis, write_atis
from fsvae_tcja.data.events.gestures import read_labels, read_trials
from fsvae_tcja.data.events.recording import Recording
from fsvae_tcja.data.image_file import read_header, read_image
from fsvae_tcja.data.shards import load_shards
from fsvae_tcja.data.shards.keep import SUFFIX, read_index
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.utils.configuration import to_dict
from fsvae_tcja.vae import load
from fsvae_tcja.vae.interop import import_fsvae2022

from ..data.events.writers import write_aedat2, write_aedat3
from ..vae.test_interop import authors_state_dict
from .inputs import NOISE, damaged, json_text, odd_state, repacked

Inputs = SearchStrategy[bytes]


class Reader(NamedTuple):
    """A reader, and files for it."""

    make: Callable[[Path], Path]
    """Writes a valid file, with what has to lie around it, into an empty folder; returns its path."""
    read: Callable[[Path], Any]
    """Reads what stands in its place."""
    odd: Callable[[bytes], Inputs] | None = None
    """From a valid file: files whose form is sound and whose contents are not."""
    named: bool = True
    """Whether an error has to name the file; a text is none."""

    def inputs(self, whole: bytes) -> Inputs:
        """What is put in the place of the valid file."""
        common = damaged(whole) | NOISE
        return common if self.odd is None else common | self.odd(whole)


CONFIG = FSVAEConfig(image_size=4, T=2, L=2, latent=Bernoulli(k=2), channels=(2,))
NETWORK = ClassifierConfig("4C TCJA(2,2) MP2 FC4 LIF Vote2", T=2, shape=(2, 8, 8), classes=2)


def _pack(tensors: Mapping[str, torch.Tensor], metadata: Any) -> bytes:
    """A checkpoint with these metadata, of whatever form, and the right checksums."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        checkpoint.write(path, tensors, metadata if isinstance(metadata, dict) else {"": metadata})
        return path.read_bytes()


def _metadata(whole: bytes) -> Inputs:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(whole)
        tensors, metadata = checkpoint.read(path)
    return repacked(metadata, partial(_pack, tensors))


def _statistics(whole: bytes) -> Inputs:
    """Reference statistics whose hash is right too."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(whole)
        tensors, metadata = checkpoint.read(path)

    def pack(rest: Any) -> bytes:
        rest = rest if isinstance(rest, dict) else {}
        rest = {name: value for name, value in rest.items() if name != "sha256"}
        return _pack(tensors, rest | {"sha256": json_sha256([tensors_sha256(tensors), rest])})

    return repacked(metadata, pack)


def _state(whole: bytes) -> Inputs:
    return odd_state(torch.load(io.BytesIO(whole), weights_only=True))


def _json(whole: bytes) -> Inputs:
    return json_text(json.loads(whole))


def _zipped(whole: bytes) -> Inputs:
    return damaged(gzip.decompress(whole)).map(lambda data: gzip.compress(data, 1))


def _read_fsvae(path: Path) -> None:
    load(path)
    if find_checkpoint(path) is not None:
        open_checkpoint(path, 0).draw(0, 1)
    info.main([str(path)])


def _run(folder: Path) -> Path:
    config = TrainConfig(model=CONFIG, tuning=replace(TrainConfig().tuning, weight=0))
    metadata = {
        "kind": "fsvae",
        "config": to_dict(CONFIG),
        "training": to_dict(config),
        "step": 1,
        "images": 10,
        "data": "mnist",
    }
    weights = {f"model.{name}": tensor for name, tensor in FSVAE(CONFIG).state_dict().items()}
    checkpoint.write(folder / "checkpoint.safetensors", weights, metadata)
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    (folder / "scoring.json").write_text(json.dumps({"score_every": 1, "scores": ["FAD"], "autoencoder": "a"}))
    rows = [{"step": step, "epoch": 1, "loss": 0.5} for step in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _in_run(name: str) -> Callable[[Path], Path]:
    return lambda folder: _run(folder) / name


def _classifier(folder: Path) -> Path:
    metadata = {
        "data": "digits",
        "classes": ["a", "b"],
        "step": 10,
        "images": 20,
        "training": {"batch_size": 4, "epochs": 2, "steps": 0, "slices": "count", "validation": 0.1},
    }
    classifier_checkpoint.save(SpikingClassifier(NETWORK), folder / "network.safetensors", metadata)
    return folder / "network.safetensors"


def _read_classifier(path: Path) -> None:
    model = classifier_checkpoint.load(path)
    classifier_checkpoint.origin(path)
    model(torch.rand(model.config.T, 1, *model.config.shape))


def _authors(folder: Path) -> Path:
    torch.save(authors_state_dict(FSVAE(replace(CONFIG, latent=Bernoulli(k=2, sampling="prefix")))), folder / "a.pth")
    return folder / "a.pth"


def _trained(network: Callable[[], Any], folder: Path) -> Path:
    network().save(folder / "network.safetensors")
    return folder / "network.safetensors"


def _trained_state(network: Callable[[], Any], folder: Path) -> Path:
    torch.save(network().state_dict(), folder / "network.pth")
    return folder / "network.pth"


WEIGHTS = WeightsFile(
    "test", "https://example.org/weights-00000000.pth", "FSVAE_TCJA_FUZZ", "test", option="networks.test"
)


def _weights(folder: Path) -> Path:
    torch.save({"a.weight": torch.rand(2, 3), "a.bias": torch.rand(2)}, folder / "own.pth")
    return folder / "own.pth"


def _reference(folder: Path) -> Path:
    data = {"name": "x", "data_set": None, "split": None, "pixels": "4 x 4", "n": 8, "sha256": "0"}
    key = {"data": data, "extractor": "0", "extraction": get_protocol("strict").recipe("FAD").extraction()}
    Reference(GaussianStatistics.of(torch.rand(8, 3, dtype=torch.float64)), key).save(folder / "reference.safetensors")
    return folder / "reference.safetensors"


def _moments(folder: Path) -> Path:
    np.savez(folder / "moments.npz", mu=np.zeros(3), sigma=np.eye(3))
    return folder / "moments.npz"


def _read_moments(path: Path) -> None:
    extractor: Any = SimpleNamespace(dims={"latent": 3}, sha256="0", name="network", size=32)
    load_fsvae2022_reference(path, extractor, get_protocol("fsvae2022").recipe("FAD"))
    holds_statistics(path)


def _array(name: str, folder: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    if name.endswith(".npy"):
        np.save(folder / name, images)
    else:
        np.savez_compressed(folder / name, images=images)
    return folder / name


def _scores(folder: Path) -> Path:
    recipe = get_protocol("strict").recipe("FAD")
    text = dict.fromkeys(
        ("images", "pixels", "extractor", "extractor_description", "reference", "reference_description"), "x"
    )
    score = Score(
        name="FAD", value=1.0, std=None, protocol="strict", n=3, seed=0, value_range=None, reference_pixels=None,
        recipe=recipe.as_dict(), **text,
    )  # fmt: skip
    save_scores(folder / "scores.json", [score])
    return folder / "scores.json"


def _study(folder: Path) -> Path:
    text = 'preset = "digits"\nsteps = 4\nseeds = [0, 1]\n[settings.plain]\n[settings.wide]\n"model.L" = 64\n'
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def _read_scores(path: Path) -> None:
    scores = load_scores(path)
    for a, b in side_by_side([scores, scores]):
        assert a is not None and b is not None
        str(a), a - b


def _image(form: str, folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"image.{form}")
    return folder / f"image.{form}"


def _read_image(path: Path) -> None:
    read_header(path)
    read_image(path, 3, 8)


def _shard(folder: Path) -> Path:
    with tarfile.open(folder / "0.tar", "w") as tar:
        for i in range(2):
            for name, data in ((f"a/{i}.png", _image("png", folder).read_bytes()), (f"a/{i}.cls", b"1")):
                info = tarfile.TarInfo(name if i else f"{'x' * 120}{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    (folder / "image.png").unlink()
    return folder / "0.tar"


def _read_shard(path: Path) -> None:
    data = load_shards(path, "all", 8, path.parent)
    data.load(range(len(data)))


def _read_new_shard(path: Path) -> None:
    path.with_name(path.name + SUFFIX).unlink(missing_ok=True)
    _read_shard(path)


def _index(folder: Path) -> Path:
    shard = _shard(folder)
    _read_shard(shard)
    return shard.with_name(shard.name + SUFFIX)


def _read_index(path: Path) -> None:
    """Alone, and as it is used: a damaged one is made anew."""
    read_index(path)
    data = path.read_bytes()
    _read_shard(path.with_name("0.tar"))
    path.write_bytes(data)


def _said(whole: bytes) -> Inputs:
    """An index whose arrays are sound."""
    length = int.from_bytes(whole[:8], "little")
    arrays = safetensors.numpy.load(whole)
    metadata = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["index"])
    return repacked(metadata, lambda said: safetensors.numpy.save(arrays, {"index": json.dumps(said)}))


def _mnist(which: int, suffix: str, folder: Path) -> Path:
    images, labels = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3), np.array([1, 2], np.uint8)
    paths = folder / f"images.{suffix}", folder / f"labels.{suffix}"
    for path, array in zip(paths, (images, labels), strict=True):
        data = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        path.write_bytes(gzip.compress(data) if suffix == "gz" else data)
    return paths[which]


def _read_mnist(path: Path) -> None:
    IMAGE_SETS["mnist"].load("train", 4, [path.with_stem("images"), path.with_stem("labels")])


def _table(folder: Path) -> Path:
    rows = io.StringIO()
    csv.writer(rows).writerows([*([i % 256] * 784), i % 10] for i in range(20))
    (folder / "table.csv.gz").write_bytes(gzip.compress(rows.getvalue().encode()))
    return folder / "table.csv.gz"


def _partition(folder: Path) -> Path:
    for i in (1, 2, 3):
        Image.new("RGB", (178, 218)).save(folder / f"{i}.jpg")
    (folder / "partition.txt").write_text("1.jpg 0\n2.jpg 1\n3.jpg 2\n")
    return folder / "partition.txt"


@cache
def _events() -> np.ndarray:
    from fsvae_tcja.data.events.moving import record

    return record("up", "disc", 3.0, np.random.default_rng(0), (34, 34))[:400]


def _recording(write: Callable[[Path, np.ndarray], None], name: str, folder: Path) -> Path:
    write(folder / name, _events())
    return folder / name


def _labels(folder: Path) -> Path:
    (folder / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,5\n2,6,90\n")
    return folder / "user01_led_labels.csv"


def _trials(folder: Path) -> Path:
    _labels(folder)
    (folder / "user01_led.aedat").touch()
    (folder / "trials.txt").write_text("user01_led.aedat\n")
    return folder / "trials.txt"


def _frames(folder: Path) -> tuple[FrameCache, Recording]:
    path = folder / "a.bin"
    if not path.exists():
        write_atis(path, _events())
    return FrameCache(folder / "cache", read_atis, 3, "count", (34, 34)), Recording(path, "a", 0)


def _cached(folder: Path) -> Path:
    cache, recording = _frames(folder)
    cache.get(recording)
    return cache.entry(recording)


def _description(folder: Path) -> Path:
    (folder / "layers.txt").write_text("4C TCJA(2,2) MP2 4R/2 LIF GAP FC4 LIF Vote2")
    return folder / "layers.txt"


def _read_description(path: Path) -> None:
    layers = path.read_bytes().decode(errors="replace")
    parse(layers)
    SpikingClassifier(replace(NETWORK, layers=layers))


READERS: dict[str, Reader] = {
    "checkpoint of an FSVAE": Reader(_in_run("checkpoint.safetensors"), _read_fsvae, _metadata),
    "checkpoint of a classifier": Reader(_classifier, _read_classifier, _metadata),
    "checkpoint to resume": Reader(
        _in_run("checkpoint.safetensors"), lambda path: TRAIN.trained(path.parent), _metadata
    ),
    "study .toml": Reader(_study, read_study),
    "config.json": Reader(_in_run("config.json"), TRAIN.saved, _json),
    "scoring.json": Reader(
        _in_run("scoring.json"),
        lambda path: ScoringOptions().complete(RunFolder(path.parent, resume=True), True),
        _json,
    ),
    "metrics.jsonl": Reader(
        _in_run("metrics.jsonl"), lambda path: RunFolder(path.parent, resume=True).read_metrics(), None
    ),
    "FSVAE 2022 .pth": Reader(_authors, import_fsvae2022, _state),
    "FAD autoencoder .pth": Reader(partial(_trained_state, Autoencoder), Autoencoder.load, _state),
    "domain classifier .safetensors": Reader(partial(_trained, Classifier), Classifier.load, _metadata),
    "published weights .pth": Reader(_weights, lambda path: read_weights(WEIGHTS, path), _state),
    "reference statistics": Reader(_reference, load_reference, _statistics),
    "published moments .npz": Reader(_moments, _read_moments),
    "images .npy": Reader(partial(_array, "images.npy"), lambda path: open_images(path)),
    "images .npz": Reader(partial(_array, "images.npz"), lambda path: open_images(path)),
    "scores .json": Reader(_scores, _read_scores, _json),
    **{
        f"image .{form}": Reader(partial(_image, form), _read_image)
        for form in ("png", "jpg", "bmp", "gif", "tif", "webp", "ppm")
    },
    "tar shard": Reader(_shard, _read_new_shard),
    "index of a shard": Reader(_index, _read_index, _said),
    "idx images": Reader(partial(_mnist, 0, "idx"), _read_mnist),
    "idx images .gz": Reader(partial(_mnist, 0, "gz"), _read_mnist, _zipped),
    "idx labels .gz": Reader(partial(_mnist, 1, "gz"), _read_mnist, _zipped),
    "mnist-5k .csv.gz": Reader(_table, lambda path: IMAGE_SETS["mnist-5k"].load("test", 32, [path]), _zipped),
    "CelebA's partition": Reader(_partition, lambda path: IMAGE_SETS["celeba"].load("train", 32, [path.parent, path])),
    "CIFAR10": Reader(
        lambda folder: folder / "data_batch_1",
        lambda path: IMAGE_SETS["cifar10"].load("train", 32, [path]),
        named=False,
    ),
    "AEDAT 3.1": Reader(partial(_recording, write_aedat3, "a.aedat"), read_aedat3),
    "AEDAT 2.0": Reader(partial(_recording, write_aedat2, "a.aedat"), read_aedat2),
    "ATIS": Reader(partial(_recording, write_atis, "a.bin"), read_atis),
    "list of recordings": Reader(_trials, read_trials),
    "table of labels": Reader(_labels, lambda path: read_labels(path.with_name("user01_led.aedat"))),
    "frame cache": Reader(
        _cached,
        lambda path: (lambda cache, recording: cache.get(recording))(*_frames(path.parent.parent)),
        lambda whole: damaged(zlib.decompress(whole)).map(zlib.compress),
    ),
    "recording to classify": Reader(
        partial(_recording, write_aedat2, "b.aedat"),
        lambda path: list(read_inputs(path, replace(NETWORK, shape=(2, 128, 128)))),
    ),
    "description of a network": Reader(_description, _read_description, named=False),
}
