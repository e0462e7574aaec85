"""Checkpoints: tensors and their metadata in one safetensors file. Nothing is ever unpickled."""

import io
import json
import logging
import shlex
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..utils.atomic import replacing
from ..utils.foreign import brief, check_archive, reading
from ..utils.spelling import did_you_mean
from .memory import no_larger_than
from .pretrained import located, names
from .run import MODEL
from .state_dict import plain

log = logging.getLogger(__name__)
KEY = "fsvae-tcja"
Model = TypeVar("Model", bound=nn.Module)
KINDS = {  # what some names of the metadata stand for, in every kind of checkpoint
    "kind": str,
    "config": dict,
    "training": dict,
    "data": str,
    "classes": list,
    "label_counts": list,
    "step": int,
    "images": int,
    "epoch": int,
    "scaler": dict,
    "callbacks": dict,
}
SUMS = "checksums"  # in the metadata on disk: CRC-32 of each tensor and its form, and under "" of the metadata
OLD_SUMS = "crc32"  # of earlier versions: of the numbers alone


@runtime_checkable
class Upgrades(Protocol):
    """A model that knows the tensors of earlier versions."""

    def upgraded(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Those that an earlier version saved, under today's names."""


@runtime_checkable
class TrainingParts(Protocol):
    """A model of which a file for drawing leaves parts out."""

    @property
    def training_parts(self) -> list[str]:
        """Their names, such as "latent.joint"."""


@runtime_checkable
class Remembers(Protocol):
    """A model of which the metadata of a checkpoint hold more than its configuration."""

    def remember(self, metadata: Mapping[str, Any]) -> None:
        """Take it from there."""


def write(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], previous: Path | None = None
) -> None:
    """Write tensors and a JSON-able metadata in one step: the file is whole or absent.

    Args:
        path: of the file.
        tensors: by their names.
        metadata: plain data.
        previous: where the file that is replaced goes; None: it is lost.

    Raises:
        OSError: the file cannot be written, such as on a full disk; what was there is left.
    """
    flat = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with replacing(path, ".safetensors", previous=previous) as temporary:
        sums = {"": _sum_of(metadata)} | {name: _checksum(t, _form(t)) for name, t in sorted(flat.items())}
        try:
            save_file(flat, temporary, metadata={KEY: json.dumps({**metadata, SUMS: sums})})
        except SafetensorError as error:  # a full disk
            raise OSError(f"cannot write {path} ({error})") from error


def _sum_of(metadata: Mapping[str, Any]) -> int:
    as_read = json.loads(json.dumps(metadata))  # numbers that are keys are text there, and in another order
    return zlib.crc32(json.dumps(as_read, sort_keys=True).encode())


def _checksum(tensor: Tensor, form: str = "") -> int:
    numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return zlib.crc32(numbers, zlib.crc32(form.encode()))


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(9)


def _format(head: bytes) -> str:
    """ "safetensors", "pickle" or "other", by the first 9 bytes of a file."""
    # A safetensors file is the size of its header, 8 bytes that may look like anything, and "{".
    if head[8:] == b"{":
        return "safetensors"
    return "pickle" if head.startswith((b"PK\x03\x04", b"\x80")) and len(head) == 9 else "other"


def read(path: str | Path, prefix: str = "") -> tuple[dict[str, Tensor], dict]:
    """Read what `write` wrote: the tensors whose names start with `prefix` (cut off), and the metadata.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, damaged, pickled, or not written by this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    with reading(path, "is truncated or not a safetensors file"):
        if _format(_head(path)) == "pickle":
            raise ValueError(
                f"{path} is a pickled PyTorch file, which could run code when it is read; expected .safetensors, as "
                "this program writes it. If it is of the FSVAE 2022 program: "
                f"fsvae-tcja import {shlex.quote(str(path))} --out ours.safetensors"
            )
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {n.removeprefix(prefix): file.get_tensor(n) for n in file.keys() if n.startswith(prefix)}  # noqa: SIM118
    if text is None:
        raise ValueError(
            f"{path} has no {KEY} metadata: it was not written by this package; expected one of its checkpoints"
        )
    metadata, sums, formed = _parsed(path, text)
    for name, tensor in tensors.items():
        if sums is not None and sums.get(prefix + name) != _checksum(tensor, _form(tensor) if formed else ""):
            raise ValueError(f"{path} is damaged: {prefix + name} is not what was written; fetch or save it anew")
    if lost := [n for n in sums or () if n and n.startswith(prefix) and n.removeprefix(prefix) not in tensors]:
        raise ValueError(f"{path} is damaged: {lost[0]} is missing; fetch or save it anew")
    return tensors, metadata


def _parsed(path: Path, text: str) -> tuple[dict[str, Any], dict[str, int] | None, bool]:
    """The metadata, checked; the checksums of the tensors, None in a file that has none; whether they know forms."""
    with reading(path, f"has damaged {KEY} metadata"):
        metadata = json.loads(text)
        formed = SUMS in metadata
        sums = metadata.pop(SUMS if formed else OLD_SUMS, None)
        if sums is not None and sums.get("") != _sum_of(metadata):
            raise ValueError("not what was written")
        for name, kind in KINDS.items():
            if name in metadata and (not isinstance(metadata[name], kind) or isinstance(metadata[name], bool)):
                raise ValueError(f"{name} is {brief(metadata[name])}, expected a {kind.__name__}")
        return metadata, sums, formed


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata alone. Errors as `read`."""
    return read(path, prefix="no tensor")[1]


def load_into(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Fill a model with exactly these tensors.

    A model that `Upgrades` gets those of an earlier version under today's names.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape; the first three are named.
    """
    tensors = model.upgraded(tensors) if isinstance(model, Upgrades) else tensors
    expected = model.state_dict()
    wrong = [f"{n} is missing" for n in expected if n not in tensors]
    wrong += [f"{n} is unknown to the model" for n in tensors if n not in expected]
    wrong += [
        f"{n} has shape {list(tensors[n].shape)}, the model {list(t.shape)}"
        for n, t in expected.items()
        if n in tensors and tensors[n].shape != t.shape
    ]
    wrong += [f"{n} has complex numbers" for n, tensor in tensors.items() if tensor.is_complex()]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{path} does not fit this model: {'; '.join(wrong[:3])}{more}. "
            "Sizes (and T, with TCJA) are part of the weights: build the model with the values it was trained with; "
            "those of a run are taken by --config RUN"
        )
    model.load_state_dict(dict(tensors))


def find(path: str | Path, *, pretrained: bool = True) -> Path:
    """The checkpoint itself, where `path` may be a run folder or, with `pretrained`, the name of a pretrained model.

    Raises:
        FileNotFoundError: there is nothing, and no pretrained model of that name; or a folder without a model.
    """
    known = names() if pretrained else []
    path = located(path, MODEL) if pretrained else Path(path)
    if not path.exists():
        name = f", or the name of a pretrained model, {' or '.join(known)}" if known else ""
        raise FileNotFoundError(
            f"no checkpoint at {path}{did_you_mean(str(path), known)}: give a run folder or a .safetensors checkpoint"
            f"{name}"
        )
    if path.is_dir() and not (path / MODEL).exists():
        raise FileNotFoundError(
            f"no checkpoint at {path / MODEL}: {path} is no run folder, or its training has not saved a model yet"
        )
    return path / MODEL if path.is_dir() else path


def load_model(
    path: str | Path, kind: str, build: Callable[[dict[str, Any]], Model], device: str | torch.device = "cpu"
) -> Model:
    """The model of a checkpoint, in eval mode.

    Args:
        path: of the file.
        kind: what its metadata must say that it is.
        build: makes the model of the metadata.
        device: where it goes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, pickled, of another kind, or its tensors do not fit its configuration.
    """
    tensors, metadata = _read_kind(path, kind)
    with reading(path, "holds no configuration that a model can be built from"), no_larger_than(tensors):
        model = build(metadata)
    load_into(model, tensors, path)
    return model.to(device).eval()


def start_from(model: nn.Module, path: str | Path, kind: str) -> dict[str, Any]:
    """Fill a model with the weights of another run: of its checkpoint or folder; returns a record of them.

    A part that only training needs and that the file lacks as a whole starts as it is; the log says so.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    path = find(path)
    tensors, metadata = _read_kind(path, kind)
    anew = _training_parts(model, tensors)
    if anew:
        log.warning(f"{path} was published for drawing: {', '.join(anew)}, which only training needs, starts anew")
    kept = {n: t for n, t in model.state_dict().items() if n.startswith(tuple(f"{part}." for part in anew))}
    load_into(model, tensors | kept, path)
    record = {"file": str(path.absolute()), "step": metadata.get("step")}
    return record | {OLD_SUMS: _sum_of({name: _checksum(tensor) for name, tensor in tensors.items()})}


def _training_parts(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """The parts of a model that only training needs and of which there is no tensor."""
    parts = model.training_parts if isinstance(model, TrainingParts) else []
    return [part for part in parts if not any(name.startswith(f"{part}.") for name in tensors)]


def _read_kind(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read(path, "model.")
    if metadata.get("kind") != kind:
        raise ValueError(f"{path} holds a {metadata.get('kind')!r}, expected {kind!r}; give another checkpoint")
    return tensors, metadata


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a PyTorch state dict (.pth) of another program, as `parse_state_dict` does.

    One that lies inside a dictionary, under "state_dict", and names that start with "module.", as DataParallel writes
    them, are taken for what they are; the log says so.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, would not fit into the memory, or holds anything but names and dense tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    return parse_state_dict(path.read_bytes(), path)


def parse_state_dict(data: bytes, path: Path) -> dict[str, Tensor]:
    """The state dict in the contents of a PyTorch file, which `path` names: see `read_state_dict`."""
    with reading(path, "is truncated, or no plain PyTorch state dict", "fetch it again"):
        if _format(data[:9]) == "safetensors":
            raise ValueError(
                f"{path} is a safetensors file, expected a PyTorch state dict (.pth); one of this package needs no "
                "import"
            )
        if _format(data[:9]) != "pickle":
            raise ValueError(f"{path} is no PyTorch file, expected a state dict (.pth)")
        check_archive(path, data)
        return plain(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), path)
