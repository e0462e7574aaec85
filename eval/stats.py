"""What images are compared with: features of a reference set, stored with everything that went into them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fsvae_tcja.runtime import checkpoint

from .arrays import FLOATING, check_type, reading
from .features import BATCH, Extractor, FeatureStore, Job, run, sum_device
from .frechet import GaussianStatistics
from .generators import Source, open_images
from .images import ValueRange
from .protocols import Recipe
from .provenance import ImageDigest, differences, file_sha256, json_sha256, library_versions, tensors_sha256
from .published import STATISTICS

REFERENCE_SEED = 1_000_000
"""Seed of references that are drawn: none that scored images are likely to have, so that the two are independent."""
KIND = "statistics"
"""What a file of them says that it holds."""
WORDS = ("name", "data_set", "split", "pixels")
"""What is said of reference images beside their number and their hash."""


@dataclass(frozen=True)
class Reference:
    """Features of a reference set, or their statistics."""

    statistics: GaussianStatistics | FeatureStore
    """Moments where a Frechet distance is wanted, all features for KID, precision and recall."""
    key: dict[str, Any]
    """What went into them: "data" (names, n, how they were resized, hash of all pixels), "extractor", "extraction"."""
    notes: tuple[str, ...] = ()
    """What a reader of the score must know of them."""

    @property
    def sha256(self) -> str:
        """Hash of the key but for words: the same whatever the images are called, and however many processes or
        batches made the statistics. Their size is part of the hash of the pixels."""
        data = {name: value for name, value in self.key["data"].items() if name not in WORDS}
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
        if not isinstance(self.statistics, GaussianStatistics if recipe.measure == "frechet" else FeatureStore):
            raise ValueError(
                f"{recipe.score} cannot be computed from a reference made for another kind of score; "
                "give it the reference images themselves"
            )
        _check_split(self.key["data"]["data_set"], self.key["data"]["split"], recipe)

    def save(self, path: str | Path) -> None:
        """Write moments to a .safetensors file with the key, library versions and a hash of all in its metadata."""
        moments = _moments(self.statistics)
        metadata = {"kind": KIND, "n": self.statistics.n, "key": self.key, "versions": library_versions()}
        checkpoint.write(path, moments, metadata | {"sha256": _content_sha256(moments, metadata)})


def _check_split(data_set: str | None, split: str | None, recipe: Recipe) -> None:
    """Refuse another part of a data set than the recipe compares with."""
    if data_set is not None and split != (needed := recipe.split_of(data_set)):
        raise ValueError(
            f"{recipe.score} under protocol {recipe.protocol} compares with the split {needed}, "
            f"found {data_set} {split}"
        )


def _content_sha256(moments: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    said = {name: value for name, value in metadata.items() if name != "sha256"}
    return json_sha256([tensors_sha256(moments), said])


def _moments(statistics: GaussianStatistics) -> dict[str, Tensor]:
    return {"mean": statistics.mean, "covariance": statistics.covariance}


def _key(extractor: Extractor, recipe: Recipe) -> dict[str, Any]:
    return {"extractor": extractor.sha256, "extraction": recipe.extraction()}


@dataclass(frozen=True)
class _Hashed:
    """A source that hashes what it hands out."""

    source: Source
    digest: ImageDigest

    @property
    def name(self) -> str:
        return self.source.name

    def batches(self, batch: int, n: int | None, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
        for start, images in self.source.batches(batch, n, seed):
            self.digest.update(images, start)
            yield start, images


def make_references(
    images: Any,
    wanted: Sequence[tuple[Extractor, Recipe]],
    *,
    n: int | None = None,
    value_range: ValueRange | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Reference]:
    """One reference for each pair of extractor and recipe, in one pass over the first n images (None: all).

    Args:
        images: a source, or what `open_images` takes.
        wanted: for which scores.
        n: images to use.
        value_range: see `open_images`.
        progress: called with the number of images of each batch done.

    Raises:
        ValueError: images that do not fit, fewer than n, or another split than a recipe compares with.
    """
    source = open_images(images, value_range=value_range)
    for _, recipe in wanted:
        _check_split(source.data_set, source.split, recipe)
    digest = ImageDigest()
    collectors = [collector_for(extractor, recipe) for extractor, recipe in wanted]
    jobs = [
        Job(extractor, recipe.layer, collector, n)
        for (extractor, recipe), collector in zip(wanted, collectors, strict=True)
    ]
    recipes = [recipe for _, recipe in wanted]
    hashed = _Hashed(source, digest)
    size = run(hashed, jobs, batch=common_batch(recipes, BATCH), seed=REFERENCE_SEED, progress=progress)
    data = {"name": source.name, "data_set": source.data_set, "split": source.split, "pixels": source.pixels or size}
    data |= {"n": collectors[0].n, "sha256": digest.hexdigest()}
    return [
        Reference(collector, {"data": data} | _key(extractor, recipe))
        for (extractor, recipe), collector in zip(wanted, collectors, strict=True)
    ]


def common_batch(recipes: Sequence[Recipe], free: int) -> int:
    """The batch size that one of the recipes fixes, else `free`."""
    return next((recipe.batch for recipe in recipes if recipe.batch is not None), free)


def make_reference(
    images: Any,
    extractor: Extractor,
    recipe: Recipe,
    n: int | None = None,
    value_range: ValueRange | None = None,
) -> Reference:
    """`make_references` for one score."""
    return make_references(images, [(extractor, recipe)], n=n, value_range=value_range)[0]


def collector_for(extractor: Extractor, recipe: Recipe) -> GaussianStatistics | FeatureStore:
    """What a score that compares needs of either side."""
    if recipe.measure == "frechet":
        return GaussianStatistics(extractor.dims[recipe.layer], sum_device(extractor.device))
    return FeatureStore()


def load_reference(path: str | Path) -> Reference:
    """Read what `Reference.save` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: truncated, altered, or not reference statistics.
    """
    tensors, metadata = checkpoint.read(path)
    if metadata.get("kind") != KIND:
        raise ValueError(
            f"{path} holds {metadata.get('kind', 'a model')}, expected reference statistics; "
            "a checkpoint as reference is taken by `fsvae-tcja score`"
        )
    if metadata.get("sha256") != _content_sha256(tensors, metadata):
        raise ValueError(f"the statistics in {path} were altered after they were saved; make them anew")
    try:
        _check_metadata(metadata)
        statistics = GaussianStatistics.from_moments(tensors["mean"], tensors["covariance"], metadata["n"])
    except KeyError as error:
        raise ValueError(f"{path} lacks a part of reference statistics ({error}); make them anew") from error
    except ValueError as error:
        raise ValueError(f"{path} holds no sound reference statistics: {error}; make them anew") from error
    return Reference(statistics, metadata["key"], _version_notes(metadata["versions"]))


def _check_metadata(metadata: dict[str, Any]) -> None:
    """Raise KeyError or ValueError for a metadata that is not of the form that `Reference.save` writes."""
    key = _typed(metadata, "key", dict)
    data = _typed(key, "data", dict)
    _typed(key, "extractor", str)
    _typed(key, "extraction", dict)
    _typed(metadata, "versions", dict)
    for n in (_typed(metadata, "n", int), _typed(data, "n", int)):
        if n < 2:
            raise ValueError(f"n is {n}, expected at least 2")
    for name, kind in {"name": str, "data_set": str | None, "split": str | None, "pixels": str}.items():
        _typed(data, name, kind)


def _typed(values: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(values[name], kind):
        raise ValueError(f"{name} is {values[name]!r:.50}, expected {getattr(kind, '__name__', kind)}")
    return values[name]


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
        ValueError: not such a file, of another number of features, or published ones of another extractor.
    """
    path = Path(path)
    with reading(path, f"{path} is not an .npz with mu [d] and sigma [d, d]"):
        with np.load(path, allow_pickle=False) as file:
            mean, covariance = (_floating(file[name], name) for name in ("mu", "sigma"))
        known = STATISTICS.get(file_sha256(path))
        n = known.n if known else None
        statistics = GaussianStatistics.from_moments(mean, covariance, n or 2)  # the covariance is divided already
    dim = extractor.dims[recipe.layer]
    if statistics.dim != dim:
        raise ValueError(f"{path} has {statistics.dim} features, the {extractor.name} {dim}: it belongs to another")
    if known and known.autoencoder != extractor.sha256:
        raise ValueError(
            f"{path} was made with the published autoencoder of {known.data}, not with this {extractor.name}; "
            "take that autoencoder, or make statistics with this one: python -m eval reference"
        )
    name = f"{known.data} {known.split} (published)" if known else path.stem
    moments = tensors_sha256({"mean": mean, "covariance": covariance})
    data = {"name": name, "data_set": known.data if known else None, "split": known.split if known else None}
    data |= {"pixels": f"{extractor.size} x {extractor.size}" if extractor.size else "unknown"}
    data |= {"n": n, "moments": moments}
    note = (
        f"{path.name} is none of the published statistics and does not say which extractor made it: "
        "that it was this one is unverified"
    )
    return Reference(statistics, {"data": data} | _key(extractor, recipe), () if known else (note,))


def _floating(array: np.ndarray, name: str) -> Tensor:
    check_type(array, FLOATING, name)
    return torch.from_numpy(array)
