"""Saving and loading a trained classifier: weights and configuration in one safetensors file."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch

from fsvae_tcja.data.events.frames import SliceBy
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.rebuild import check_rebuilds
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.utils.foreign import reading

from .config import ClassifierConfig
from .model import SpikingClassifier

KIND = "classifier"
DATA, CUT = ("data", "classes"), ("slices", "validation")  # of the metadata, and of the training in them
BEST = "best.safetensors"  # in a run folder: the epoch of the best validation accuracy


def save(model: SpikingClassifier, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write weights, configuration and what `metadata` adds to `path` (.safetensors), whole or not at all.

    Raises:
        ValueError: the model holds a part that its configuration does not build, and that would be lost.
    """
    check_rebuildable(model)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint.write(path, tensors, (metadata or {}) | {"kind": KIND, "config": to_dict(model.config)})


def check_rebuildable(model: SpikingClassifier) -> None:
    """Raise a ValueError unless the configuration of the model builds the same one again."""
    check_rebuilds(model, lambda: SpikingClassifier(model.config))


def find(path: str | Path) -> Path:
    """The checkpoint itself; of a run folder that of the best validation accuracy, else the last."""
    path = Path(path)
    return path / BEST if (path / BEST).is_file() else checkpoint.find(path, pretrained=False)


@dataclass(frozen=True)
class Origin:
    """What a checkpoint says of itself: which weights they are, and the data that they were trained on."""

    weights: str
    data: str | None = None
    classes: tuple[str, ...] = ()
    slices: SliceBy = "count"
    validation: float = 0.1


def origin(path: Path) -> Origin:
    """The origin of the weights in a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or says it in no known form.
    """
    metadata = checkpoint.read_metadata(path)
    with reading(path, "does not say in a known form what it was trained on", "train it again"):
        training = metadata.get("training", {})
        said = {name: metadata[name] for name in DATA if name in metadata}
        said |= {name: training[name] for name in CUT if name in training}
        found: Origin = from_dict(Origin, {"weights": weights_of(metadata), **said})
        classes = metadata.get("config", {}).get("classes")
        if found.classes and classes not in (None, len(found.classes)):
            raise ValueError(f"{len(found.classes)} names for {classes} classes")
    return found


def weights_of(metadata: Mapping[str, Any]) -> str:
    """Which weights a checkpoint holds, by its metadata: "epoch 2, best by validation", "last epoch 10"."""
    if "valid_accuracy" in metadata:
        return f"epoch {metadata['epoch']}, best by validation"
    if "step" not in metadata:
        return "weights of no training run"
    training = metadata["training"]
    each = metadata["images"] // training["batch_size"]  # steps of an epoch
    epochs = ceil(training["steps"] / each) if training.get("steps") else training["epochs"]
    if metadata["step"] == (training.get("steps") or epochs * each):
        return f"last epoch {epochs}"
    epoch, more = divmod(metadata["step"], each)
    return f"epoch {epoch} of {epochs}" + (f" and {more} steps" if more else "")


def load(path: str | Path, device: str | torch.device = "cpu") -> SpikingClassifier:
    """The model of a checkpoint or run folder, in eval mode, built from the configuration inside.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, pickled, of another kind, or its tensors do not fit its configuration.
    """
    return checkpoint.load_model(find(path), KIND, _build, device)


def _build(metadata: dict[str, Any]) -> SpikingClassifier:
    return SpikingClassifier(from_dict(ClassifierConfig, metadata["config"]))
