"""Checkpoints of ours as sources of images. The one file of eval that knows our models."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.modes import evaluated
from fsvae_tcja.utils.processes import total
from fsvae_tcja.vae import FSVAE, load
from fsvae_tcja.vae.checkpoint import KIND
from fsvae_tcja.vae.code_length import code_nats
from fsvae_tcja.vae.sample import noise_of, padded, stream

from .features import sum_device
from .images import as_float, as_grey
from .precision import full_precision
from .provenance import tensors_sha256
from .sources import BATCH, IndexedImages, Source


def find_checkpoint(what: str | Path) -> Path | None:
    """The checkpoint that a run folder or a .safetensors file is; None: it is something else.

    Raises:
        FileNotFoundError: there is nothing; or a folder without a model.
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
    return _on_seeds(model, name, seed)


def open_model(what: Any, seed: int, name: str | None = None) -> IndexedImages | None:
    """The images that a model draws on a seed, called by the hash of its weights; None: it is no model of ours."""
    return _on_seeds(what, name or "a model", seed) if isinstance(what, FSVAE) else None


def _on_seeds(model: FSVAE, name: str, seed: int) -> IndexedImages:
    called = f"{name}, {tensors_sha256(model.state_dict())[:8]}"

    def on_seed(seed: int) -> IndexedImages:
        return replace(drawn_from(model, seed, f"{called}, seed {seed}"), on_seed=on_seed)

    return on_seed(seed)


def drawn_from(model: FSVAE, seed: int, name: str) -> IndexedImages:
    """A model as a source of images: image i depends on (seed, i) alone.

    A GPU draws a batch in one pass; the tensors of 64 images fit the caches of a CPU.
    """
    device = next(model.parameters()).device

    def draw(start: int, count: int) -> torch.Tensor:
        size = BATCH if device.type == "cuda" else 64
        with full_precision(device):
            return torch.cat(list(stream(model, count, seed, first=start, batch_size=size)))

    size = model.config.image_size
    return IndexedImages(
        name, None, draw, drawn_size=size, value_range="-1..1", seed=seed, parts=ModelParts(model, seed)
    )


@dataclass(frozen=True)
class ModelParts:
    """Reconstructions and codes of a model; image i depends on (seed, i) alone."""

    model: FSVAE
    seed: int

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def reconstructed(self, real: Source) -> Source:
        name = f"reconstructions of {real.name}"
        return _Reconstructed(name, real.n, real, self, data_set=real.data_set, labels=real.labels)

    def reconstruct(self, images: Tensor, first: int) -> Tensor:
        """Canonical images [B, C, S, S], the first of which is image `first` -> [B, C, S, S] in [-1, 1], on the CPU."""
        with evaluated(self.model), full_precision(self.device):
            z, _ = self._codes(images, first)
            return self.model.decode(z)[: len(images)].cpu()

    def code_nats(self, held_out: Source) -> float | None:
        if not hasattr(self.model.latent, "nll"):
            return None
        sums = torch.zeros(2, dtype=torch.float64, device=sum_device(self.device))  # nats, images
        for first, images in held_out.batches(BATCH, None):
            with evaluated(self.model), full_precision(self.device):
                nats = self._nats(*self._codes(images, first))[: len(images)].to(sums.device).double().sum()
            sums += torch.stack([nats, torch.full_like(nats, len(images))])
        nats, count = total(sums).tolist()
        return nats / count

    def _nats(self, z: Tensor, q: Tensor | None) -> Tensor:
        """Of codes [T, N, L] -> [N]; where the prior is told the code's cluster, that costs its own nats."""
        latent: Any = self.model.latent
        return code_nats(latent, z, q) + (latent.nats_of_kind(z) if latent.params.clusters else 0)

    def _codes(self, images: Tensor, first: int) -> tuple[Tensor, Any]:
        """Codes z [T, N, L] of images, padded to whole blocks, and what they were drawn from."""
        config = self.model.config
        x = as_float(as_grey(images) if config.in_channels == 1 else images)
        if x.shape[1:] != (config.in_channels, config.image_size, config.image_size):
            raise ValueError(
                f"the model takes images of {config.in_channels} x {config.image_size} x {config.image_size}, found "
                f"{' x '.join(map(str, x.shape[1:]))}: give real images of its kind (floor, --floor, --size)"
            )
        noise = padded(noise_of(self.model, self.seed, first, len(x)), 1)
        return self.model.latent.infer(self.model.encoder(padded(x, 0).to(self.device)), noise)


@dataclass(frozen=True)
class _Reconstructed(Source):
    """Images through the latent and back."""

    real: Source
    parts_of: ModelParts

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        for start, images in self.real.batches(batch, n, seed):
            yield start, self.parts_of.reconstruct(images, start)

    def taking(self, positions: Tensor) -> Source:
        real = self.real.taking(positions)
        return replace(self, n=real.n, real=real, labels=real.labels)
