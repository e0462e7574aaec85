"""Checkpoints: tensors and their metadata in one safetensors file. Nothing is ever unpickled."""

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..utils.atomic import replacing
from .pretrained import located
from .run import MODEL

KEY = "fsvae-tcja"
Model = TypeVar("Model", bound=nn.Module)
SUMS = "checksums"  # in the metadata on disk: CRC-32 of each tensor and its form, and under "" of the metadata
OLD_SUMS = "crc32"  # of earlier versions: of the numbers alone


@runtime_checkable
class Upgrades(Protocol):
    """A model that knows the tensors of earlier versions."""

    def upgraded(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Those that an earlier version saved, under today's names."""


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
    return zlib.crc32(json.dumps(metadata, sort_keys=True).encode())


def _checksum(tensor: Tensor, form: str = "") -> int:
    numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return zlib.crc32(numbers, zlib.crc32(form.encode()))


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def _explain(path: Path, error: Exception) -> ValueError:
    with open(path, "rb") as file:
        head = file.read(9)
    # A safetensors file is the size of its header, 8 bytes that may look like anything, and "{".
    if head.startswith((b"PK\x03\x04", b"\x80")) and head[8:] not in (b"", b"{"):
        return ValueError(
            f"{path} is a pickled PyTorch file, which could run code when it is read; expected .safetensors. "
            "A checkpoint of the FSVAE 2022 program is read by fsvae_tcja.vae.interop.import_fsvae2022"
        )
    return ValueError(f"{path} is truncated or not a safetensors file ({error}); fetch or save it anew")


def read(path: str | Path, prefix: str = "", device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], dict]:
    """Read what `write` wrote: the tensors whose names start with `prefix` (cut off), and the metadata.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, damaged, pickled, or not written by this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {n.removeprefix(prefix): file.get_tensor(n) for n in file.keys() if n.startswith(prefix)}  # noqa: SIM118
    except SafetensorError as error:
        raise _explain(path, error) from error
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
    try:
        metadata = json.loads(text)
        formed = SUMS in metadata
        sums = metadata.pop(SUMS if formed else OLD_SUMS, None)
        whole = sums is None or sums.get("") == _sum_of(metadata)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:  # no JSON, or of another form
        raise ValueError(f"the {KEY} metadata of {path} are damaged ({error}); fetch or save it anew") from error
    if not whole:
        raise ValueError(f"the {KEY} metadata of {path} are damaged; fetch or save it anew")
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
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{path} does not fit the model of its configuration: {'; '.join(wrong[:3])}{more}. "
            "Sizes (and T, with TCJA) are part of the weights: build the model with the values it was trained with"
        )
    model.load_state_dict(dict(tensors))


def find(path: str | Path) -> Path:
    """The checkpoint itself, where `path` may be a run folder or the name of a pretrained model."""
    path = located(path, MODEL)
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
    model = build(metadata)
    load_into(model, tensors, path)
    return model.to(device).eval()


def start_from(model: nn.Module, path: str | Path, kind: str) -> dict[str, Any]:
    """Fill a model with the weights of another run: of its checkpoint or folder; returns a record of them.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    path = find(path)
    tensors, metadata = _read_kind(path, kind)
    load_into(model, tensors, path)
    record = {"file": str(path.absolute()), "step": metadata.get("step")}
    return record | {OLD_SUMS: _sum_of({name: _checksum(tensor) for name, tensor in tensors.items()})}


def _read_kind(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read(path, "model.")
    if metadata.get("kind") != kind:
        raise ValueError(f"{path} holds a {metadata.get('kind')!r}, expected {kind!r}")
    return tensors, metadata


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a plain PyTorch state dict (.pth) of another program; nothing but tensors is unpickled.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, or holds anything but names and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises OSError, RuntimeError, UnpicklingError, EOFError, ...
        raise ValueError(f"{path} is truncated, or no plain PyTorch state dict; fetch it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no plain PyTorch state dict: expected names and tensors")
    return state
