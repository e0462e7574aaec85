"""Where a number comes from: hashes of tensors and of images, and versions."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from fsvae_tcja.utils.processes import gather

LIBRARIES = ("fsvae-tcja", "torch", "torchvision", "torch-fidelity", "numpy", "scipy", "pillow")


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hex digest of names, types, shapes and bytes: the same for the same weights in any file format."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())  # NumPy has no bfloat16
    return digest.hexdigest()


def json_sha256(value: Any) -> str:
    """Hex digest of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def differences(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(name, value in a, value in b) of all that differs, "outer.inner" in nested mappings."""
    found = []
    for name in dict.fromkeys([*a, *b]):
        x, y = a.get(name), b.get(name)
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            found += differences(x, y, f"{prefix}{name}.")
        elif x != y:
            found.append((prefix + name, x, y))
    return found


class ImageDigest:
    """Hash of a set of images: the exclusive or of SHA-256(position, pixels).

    It depends on every pixel and position, not on the batch size or on how processes shared the images.
    """

    def __init__(self) -> None:
        self.bits = 0

    def update(self, images: Tensor, start: int) -> None:
        """Take the images start .. start + B - 1."""
        for position, image in enumerate(images.cpu().contiguous().numpy(), start):
            digest = hashlib.sha256(f"{position} {image.dtype} {image.shape}\n".encode() + image.tobytes())
            self.bits ^= int.from_bytes(digest.digest())

    def hexdigest(self) -> str:
        """Of the images that all processes have seen."""
        bits = 0
        for part in gather(self.bits):
            bits ^= part
        return f"{bits:064x}"


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a score depends on."""
    return {name: version(name) for name in LIBRARIES}
