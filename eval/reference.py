"""What images are compared with: features of a reference set, stored with everything that went into them."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fsvae_tcja.data import IMAGE_SETS
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.utils import foreign

from .arrays import FLOATING, check_type, reading
from .features import BATCH, Extractor, Job, run, sum_device
from .measures import Collector
from .measures.frechet import GaussianStatistics
from .networks.published import STATISTICS
from .protocols import FSVAE2022, PROTOCOLS, Recipe
from .provenance import ImageDigest, differences, json_sha256, library_versions, tensors_sha256
from .sources import Source

REFERENCE_SEED = 1_000_000
"""Seed of references that are drawn: none that scored images are likely to have, so that the two are independent."""
KIND = "statistics"
"""What a file of them says that it holds."""
DESCRIPTION = ("name", "data_set", "folder", "split", "pixels")
"""What describes reference images besides their number and their hash."""


@dataclass(frozen=True)
class Reference:
    """Features of a reference set, or their statistics."""

    statistics: Collector
    """What the measure collected of them: moments for a Frechet distance, all features for KID."""
    key: dict[str, Any]
    """What went into them: "data" (names, n, how they were resized, hash of all pixels), "extractor", "extraction"."""
    notes: tuple[str, ...] = ()
    """What a reader of the score must know of them."""
    floors: dict[str, Any] = field(default_factory=dict)
    """Scores of real images against them, by their number: {"1000": {"FAD": {"value": 2.8, "images": "mnist train"}}}.
    No part of the key: they follow from it."""

    @property
    def sha256(self) -> str:
        """Hash of the key but for words: the same whatever the images are called, and however many processes or
        batches made the statistics. Their size is part of the hash of the pixels."""
        data = {name: value for name, value in self.key["data"].items() if name not in DESCRIPTION}
        return json_sha256(self.key | {"data": data})

    @property
    def n(self) -> int | None:
        """Images that went into them; None: unknown."""
        return self.key["data"]["n"]

    @property
    def pixels(self) -> str:
        """Size of the images, and how they were brought to it."""
        return self.key["data"]["pixels"]

    @property
    def description(self) -> str:
        return f"{self.key['data']['name']}, {'an unknown number of' if self.n is None else self.n} images"

    def check(self, extractor: Extractor, recipe: Recipe) -> None:
        """Refuse what was made with another extractor, by another recipe or from another split.

        Raises:
            ValueError: naming what differs.
        """
        made = {name: value for name, value in self.key.items() if name != "data"}
        if different := differences(made, _key(extractor, recipe)):
            pairs = "; ".join(f"{name}: {there} there, {needed} needed" for name, there, needed in different)
            raise ValueError(f"the reference statistics do not belong to this score ({pairs}); make them anew")
        if not isinstance(self.statistics, recipe.measured.collector):
            raise ValueError(
                f"{recipe.score} cannot be computed from a reference made for another kind of score; "
                "give it the reference images themselves"
            )
        _check_split(self.key["data"]["data_set"], self.key["data"]["split"], recipe)

    def save(self, path: str | Path) -> None:
        """Write moments to a .safetensors file with the key, library versions and a hash of all in its metadata."""
        if not isinstance(self.statistics, GaussianStatistics):
            raise ValueError(f"{path}: only the moments of a Frechet distance can be saved; keep the images instead")
        moments = {"mean": self.statistics.mean, "covariance": self.statistics.covariance}
        metadata: dict[str, Any] = {"kind": KIND, "n": self.n, "key": self.key, "versions": library_versions()}
        metadata |= {"notes": list(self.notes)} if self.notes else {}
        metadata |= {"floors": self.floors} if self.floors else {}
        checkpoint.write(path, moments, metadata | {"sha256": _content_sha256(moments, metadata)})


def _check_split(data_set: str | None, split: str | None, recipe: Recipe) -> None:
    """Refuse another part of a data set than the recipe compares with."""
    if data_set is not None and split != (needed := recipe.split_of(data_set)):
        raise ValueError(
            f"{recipe.score} under protocol {recipe.protocol} compares with the split {needed}, "
            f"found {data_set} {split}; leave the split out"
        )


def _content_sha256(moments: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    rest = {name: value for name, value in metadata.items() if name != "sha256"}
    return json_sha256([tensors_sha256(moments), rest])


def _key(extractor: Extractor, recipe: Recipe) -> dict[str, Any]:
    return {"extractor": extractor.sha256, "extraction": recipe.extraction()}


@dataclass(frozen=True)
class _Hashed(Source):
    """A source whose images go into a digest while they are read."""

    source: Source
    digest: ImageDigest

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        for start, images in self.source.batches(batch, n, seed):
            self.digest.update(images, start)
            yield start, images


def collect_references(
    source: Source,
    wanted: Sequence[tuple[Extractor, Recipe]],
    *,
    n: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Reference]:
    """One reference for each pair of extractor and recipe, in one pass over the first n images (None: all).

    Raises:
        ValueError: images that do not fit, fewer than n, or another split than a recipe compares with.
    """
    for _, recipe in wanted:
        _check_split(source.data_set, source.split, recipe)
    hashed = _Hashed(source.name, source.n, source, ImageDigest(), value_range=source.value_range)
    recipes = [recipe for _, recipe in wanted]
    jobs = [job_for(extractor, recipe, n) for extractor, recipe in wanted]
    seen = run(hashed, jobs, batch=common_batch(recipes), seed=REFERENCE_SEED, progress=progress)
    data = {
        "name": source.name,
        "data_set": source.data_set,
        "folder": source.folder,
        "split": source.split,
        "pixels": source.pixels or seen.size,
        "n": jobs[0].collector.n,
        "sha256": hashed.digest.hexdigest(),
    }
    return [
        Reference(job.collector, {"data": data} | _key(extractor, recipe), source.notes + seen.notes)
        for job, (extractor, recipe) in zip(jobs, wanted, strict=True)
    ]


def job_for(extractor: Extractor, recipe: Recipe, n: int | None) -> Job:
    """What a score needs of n images (None: all), on either side."""
    dim, device = extractor.dims[recipe.layer], sum_device(extractor.device)
    return Job(extractor, recipe.layer, recipe.measured.collect(recipe, dim, n, device), n)


def common_batch(recipes: Sequence[Recipe], asked: int | None = None) -> int:
    """The batch size that the recipes fix, else that which was asked for (None: BATCH).

    Raises:
        ValueError: they fix several, or another than was asked for.
    """
    fixed = {recipe.batch for recipe in recipes if recipe.batch is not None}
    if len(fixed) > 1:
        raise ValueError(f"these scores fix batches of {sorted(fixed)} images; compute them one by one")
    if fixed and asked not in (None, *fixed):
        raise ValueError(
            f"protocol {recipes[0].protocol} computes in batches of {fixed.pop()}, {asked} was asked for; "
            "leave it out (batch, --batch)"
        )
    return fixed.pop() if fixed else BATCH if asked is None else asked


def statistics_file(folder: Path, protocol: str, score: str) -> Path:
    """Where the statistics for a score lie in a folder of them."""
    return folder / f"{protocol}-{score}.safetensors"


def check_keeps_statistics(recipe: Recipe) -> None:
    """Raise ValueError for a score whose reference cannot be stored: only moments can."""
    if not issubclass(recipe.measured.collector, GaussianStatistics):
        raise ValueError(f"{recipe.score} keeps no statistics: give it the reference images themselves")


def holds_statistics(path: str | Path) -> bool:
    """Whether a path is statistics (a .safetensors, an .npz with mu and sigma, what `reference` wrote), not images.

    The name of a data set is none.
    """
    if path in IMAGE_SETS:
        return False
    path = Path(path).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return _has_moments(path)
    if path.suffix == ".safetensors" and path.is_file():
        from .checkpoints import find_checkpoint  # brings the model

        return find_checkpoint(path) is None
    return path.suffix == ".safetensors" or any(any(path.glob(f"{name}-*.safetensors")) for name in PROTOCOLS)


def _has_moments(path: Path) -> bool:
    try:
        with reading(path, "damaged"), np.load(path, allow_pickle=False) as file:
            return "mu" in file.files
    except ValueError:
        return False  # reading it as images says what is wrong


def stored_reference(path: Path, extractor: Extractor, recipe: Recipe) -> Reference:
    """The reference for a score in a file of statistics, or in a folder that `reference` wrote.

    Raises:
        FileNotFoundError: none for this score; the message says how to make them.
        ValueError: statistics of another score, or a damaged file.
    """
    check_keeps_statistics(recipe)
    if path.suffix == ".npz":
        return load_fsvae2022_reference(path, extractor, recipe)
    file = path if path.suffix == ".safetensors" else statistics_file(path, recipe.protocol, recipe.score)
    if not file.is_file():
        raise FileNotFoundError(
            f"there are no statistics for the {recipe.score} of protocol {recipe.protocol} at {file}; make them: "
            f"fsvae-tcja eval reference IMAGES --protocol {recipe.protocol} --scores {recipe.score} --out FOLDER, with "
            "the options --networks of this score, and give --reference FOLDER"
        )
    return load_reference(file)


def load_reference(path: str | Path) -> Reference:
    """Read what `Reference.save` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: truncated, altered, or not reference statistics.
    """
    tensors, metadata = checkpoint.read(path)
    if metadata.get("kind") != KIND:
        raise ValueError(
            f"{path} holds {metadata.get('kind', 'a model')}, expected reference statistics or a checkpoint"
        )
    if metadata.get("sha256") != _content_sha256(tensors, metadata):
        raise ValueError(f"the statistics in {path} were altered after they were saved; make them anew")
    with foreign.reading(path, "holds no sound reference statistics", "make them anew"):
        statistics = GaussianStatistics.from_moments(tensors["mean"], tensors["covariance"], metadata["n"])
        notes = tuple(map(str, metadata.get("notes", ())))
        floors = {str(n): dict(floor) for n, floor in metadata.get("floors", {}).items()}
        reference = Reference(statistics, metadata["key"], notes + _version_notes(metadata["versions"]), floors)
        _ = reference.sha256, reference.description, reference.pixels, statistics.covariance
        return reference


def _version_notes(versions: dict[str, str]) -> tuple[str, ...]:
    now = library_versions()
    others = [f"{name} {versions.get(name)} (now {now[name]})" for name in now if versions.get(name) != now[name]]
    return (f"the reference statistics were made with {', '.join(others)}",) if others else ()


def load_fsvae2022_reference(path: str | Path, extractor: Extractor, recipe: Recipe) -> Reference:
    """Read statistics as the FSVAE authors publish them: an .npz with `mu` [d] and `sigma` [d, d].

    Such a file says neither which extractor nor how many images made it. Of the published ones that is known; for
    others the caller answers, and the score bears a note.

    Args:
        path: the file; never unpickled.
        extractor: the network that it belongs to.
        recipe: the recipe that it was made by.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another protocol, not such a file, of another number of features, or published ones of another
            extractor.
    """
    path = Path(path)
    if recipe.protocol != FSVAE2022.name:
        raise ValueError(
            f"{path} says nothing about how it was made: only protocol fsvae2022 takes such statistics; "
            "make others with `fsvae-tcja eval reference`"
        )
    with reading(path, f"{path} is not an .npz with mu [d] and sigma [d, d]"):
        data = path.read_bytes()  # once: what is known is what is read
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            mean, covariance = (_floating(file[name], name) for name in ("mu", "sigma"))
        known = STATISTICS.get(hashlib.sha256(data).hexdigest())
        n = known.n if known else None
        statistics = GaussianStatistics.from_moments(mean, covariance, n)
    dim = extractor.dims[recipe.layer]
    if statistics.dim != dim:
        raise ValueError(f"{path} has {statistics.dim} features, the {extractor.name} {dim}: it belongs to another")
    if known and known.autoencoder != extractor.sha256:
        raise ValueError(
            f"{path} was made with the published autoencoder of {known.data}, not with this {extractor.name}; "
            "take that autoencoder, or make statistics with this one: fsvae-tcja eval reference"
        )
    made_of = {
        "name": f"{known.data} {known.split} (published)" if known else path.stem,
        "data_set": known.data if known else None,
        "split": known.split if known else None,
        "pixels": f"{extractor.size} x {extractor.size}" if extractor.size else "unknown",
        "n": n,
        "moments": tensors_sha256({"mean": mean, "covariance": covariance}),
    }
    note = (
        f"{path.name} is none of the published statistics and does not say which extractor made it: "
        "that it was this one is unverified"
    )
    return Reference(statistics, {"data": made_of} | _key(extractor, recipe), () if known else (note,))


def _floating(array: np.ndarray, name: str) -> Tensor:
    check_type(array, FLOATING, name)
    return torch.from_numpy(array)
