"""Checkpoints of ours as sources of images. The one file of eval that knows our models."""

from pathlib import Path

import torch

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.vae import FSVAE, load
from fsvae_tcja.vae.checkpoint import KIND
from fsvae_tcja.vae.sample import stream

from .precision import full_precision
from .provenance import tensors_sha256
from .sources import IndexedImages


def find_checkpoint(what: str | Path) -> Path | None:
    """The checkpoint that a run folder or a .safetensors file is; None: it is something else.

    Raises:
        ValueError: a .safetensors file that is damaged or not of this program.
    """
    path = checkpoint.find(Path(what).expanduser())
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    return path if checkpoint.read_metadata(path).get("kind") == KIND else None


def open_checkpoint(path: Path, seed: int, device: torch.device | str = "cpu") -> IndexedImages:
    """The images that a checkpoint draws on a seed, called by data set, step and hash of the weights."""
    model, metadata = load(path, device), checkpoint.read_metadata(path)
    name = f"{metadata['kind']} on {metadata.get('data', 'unknown data')}, step {metadata.get('step', 'unknown')}"
    return drawn_from(model, seed, f"{name}, {tensors_sha256(model.state_dict())[:8]}, seed {seed}")


def drawn_from(model: FSVAE, seed: int, name: str) -> IndexedImages:
    """A model as a source of images: image i depends on (seed, i) alone.

    A GPU draws them in one pass; the tensors of 64 images fit the caches of a CPU.
    """
    device = next(model.parameters()).device

    def draw(start: int, count: int) -> torch.Tensor:
        size = count if device.type == "cuda" else 64
        with full_precision(device):
            return torch.cat(list(stream(model, count, seed, first=start, batch_size=size)))

    return IndexedImages(name, None, draw, value_range="-1..1", seed=seed)
