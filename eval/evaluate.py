"""Scores by name: finds the networks and the references that a protocol wants, then computes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .arrays import reading
from .domain import Classifier
from .fad import Autoencoder
from .features import BATCH, Extractor
from .generators import open_images
from .images import ValueRange
from .processes import rank
from .protocols import PROTOCOLS, Protocol, Recipe
from .randomness import check_seed
from .result import Score
from .scores import Task, compute, images_to_score
from .stats import Reference, load_fsvae2022_reference, load_reference, make_references


@dataclass(frozen=True)
class Networks:
    """Where the networks that scores look through lie."""

    autoencoder: Path | None = None
    """Of the FAD: what `train-fad` wrote, or a .pth of the FSVAE authors."""
    classifier: Path | None = None
    """Of the domain scores: what `train-classifier` wrote."""
    inception: Path | None = None
    """Inception 2015-12-05; None: $FSVAE_TCJA_INCEPTION, else torch's cache."""
    inception_torchvision: Path | None = None
    """torchvision's Inception; None: $FSVAE_TCJA_INCEPTION_TORCHVISION, else torch's cache."""
    vgg16: Path | None = None
    """torchvision's VGG16; None: $FSVAE_TCJA_VGG16, else torch's cache."""
    download: bool = False
    """Fetch published weights that are nowhere."""


def evaluate(
    images: Any,
    protocol: Protocol,
    scores: Sequence[str] = (),
    *,
    reference: Any = None,
    networks: Networks = Networks(),
    n: int | None = None,
    seed: int | None = None,
    batch: int = BATCH,
    device: torch.device | str = "cpu",
    value_range: ValueRange | None = None,
    reference_range: ValueRange | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Score images under a protocol.

    Args:
        images: what `open_images` takes.
        protocol: what is fixed.
        scores: names; none takes the protocol's default.
        reference: a `Reference`, a .safetensors of statistics or a folder that `write_references` made, an .npz with mu
            and sigma (fsvae2022), or images; a callable draws as many as are scored. For an Inception Score None.
        networks: where weights lie.
        n, seed, batch, progress: see `compute`.
        device: where to compute.
        value_range, reference_range: of floating point pixels on either side, which have to state it.

    Raises:
        FileNotFoundError: weights, images or a reference that are not there.
        ValueError: anything that does not fit; the message says what was found and what is needed.
    """
    check_seed(seed)
    source = open_images(images, value_range=value_range)
    recipes = [protocol.recipe(name) for name in scores or protocol.default]
    counts = {recipe: images_to_score(recipe, n, source.n, source.name) for recipe in recipes}
    tasks = make_tasks(
        recipes,
        reference=reference,
        networks=networks,
        device=device,
        reference_range=reference_range,
        drawn=max((count or 0 for recipe, count in counts.items() if recipe.compares), default=0) or None,
        progress=progress,
    )
    return compute(source, tasks, n=n, seed=seed, batch=batch, progress=progress)


def make_tasks(
    recipes: Sequence[Recipe],
    *,
    reference: Any = None,
    networks: Networks = Networks(),
    device: torch.device | str = "cpu",
    reference_range: ValueRange | None = None,
    drawn: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Task]:
    """What `compute` needs, to be used any number of times: networks are loaded and references made here.

    Args:
        recipes: one per score.
        drawn: images to draw from a reference that has no end.
        reference, networks, device, reference_range, progress: see `evaluate`.

    Raises:
        FileNotFoundError, ValueError: as `evaluate`.
    """
    pairs = list(zip(extractors_for(recipes, networks, device), recipes, strict=True))
    compared = [pair for pair in pairs if pair[1].compares]
    references = iter(_references(reference, compared, reference_range, drawn, progress) if compared else [])
    return [Task(recipe, extractor, next(references) if recipe.compares else None) for extractor, recipe in pairs]


def write_references(
    images: Any,
    protocol: Protocol,
    scores: Sequence[str],
    folder: str | Path,
    *,
    networks: Networks = Networks(),
    device: torch.device | str = "cpu",
    value_range: ValueRange | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Statistics of reference images for the scores of a protocol that are Frechet distances, a file each.

    Raises:
        ValueError: a score that keeps no statistics, or images that do not fit.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cannot write statistics into {folder}: it is a file; give a folder")
    recipes = [protocol.recipe(name) for name in scores]
    for recipe in recipes:
        _check_keeps_statistics(recipe)
    extractors = extractors_for(recipes, networks, device)
    pairs = list(zip(extractors, recipes, strict=True))
    references = make_references(images, pairs, value_range=value_range, progress=progress)
    paths = [_statistics_file(folder, recipe) for recipe in recipes]
    for path, recipe, reference, extractor in zip(paths, recipes, references, extractors, strict=True):
        reference.check(extractor, recipe)
        if rank() == 0:
            reference.save(path)
    return paths


def _statistics_file(folder: Path, recipe: Recipe) -> Path:
    return folder / f"{recipe.protocol}-{recipe.score}.safetensors"


def _references(
    given: Any,
    wanted: list[tuple[Extractor, Recipe]],
    value_range: ValueRange | None,
    drawn: int | None,
    progress: Callable[[int], None] | None,
) -> list[Reference]:
    """The references of the scores that compare; of one without an end, `drawn` images."""
    if given is None:
        names = ", ".join(recipe.score for _, recipe in wanted)
        raise ValueError(f"{names} compares images with others: give a reference (statistics or images)")
    if isinstance(given, Reference):
        return [given] * len(wanted)
    if isinstance(given, (str, Path)) and holds_statistics(given):
        return [_stored(Path(given).expanduser(), extractor, recipe) for extractor, recipe in wanted]
    source = open_images(given, value_range=value_range)
    return make_references(source, wanted, n=drawn if source.endless else None, progress=progress)


def _check_keeps_statistics(recipe: Recipe) -> None:
    if recipe.measure != "frechet":
        raise ValueError(f"{recipe.score} keeps no statistics: give it the reference images themselves")


def holds_statistics(path: str | Path) -> bool:
    """Whether a path is statistics (a .safetensors, an .npz with mu and sigma, what `reference` wrote), not images."""
    path = Path(path).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return _has_moments(path)
    return path.suffix == ".safetensors" or any(any(path.glob(f"{name}-*.safetensors")) for name in PROTOCOLS)


def _has_moments(path: Path) -> bool:
    try:
        with reading(path, "damaged"), np.load(path, allow_pickle=False) as file:
            return "mu" in file.files
    except ValueError:
        return False  # reading it as images says what is wrong


def _stored(path: Path, extractor: Extractor, recipe: Recipe) -> Reference:
    _check_keeps_statistics(recipe)
    if path.suffix != ".npz":
        file = path if path.suffix == ".safetensors" else _statistics_file(path, recipe)
        if not file.is_file():
            raise FileNotFoundError(
                f"there are no statistics for the {recipe.score} of protocol {recipe.protocol} at {file}; make them: "
                f"python -m eval reference IMAGES --protocol {recipe.protocol} --scores {recipe.score} "
                f"--out {file.parent}"
            )
        return load_reference(file)
    if recipe.protocol != "fsvae2022":
        raise ValueError(
            f"{path} says nothing about how it was made: only protocol fsvae2022 takes such statistics; "
            "make others with `python -m eval reference`"
        )
    return load_fsvae2022_reference(path, extractor, recipe)


def extractors_for(recipes: Sequence[Recipe], networks: Networks, device: torch.device | str) -> list[Extractor]:
    """One extractor per recipe; recipes that differ in the layer only share theirs."""
    layers: dict[str, set[str]] = {}
    for recipe in recipes:
        layers.setdefault(_network_key(recipe), set()).add(recipe.layer)
    built: dict[str, Extractor] = {}
    for recipe in recipes:
        key = _network_key(recipe)
        if key not in built:
            built[key] = _build(recipe, layers[key], networks, device)
    return [built[_network_key(recipe)] for recipe in recipes]


def _network_key(recipe: Recipe) -> str:
    return json.dumps({name: value for name, value in recipe.extraction().items() if name != "layer"})


def _build(recipe: Recipe, layers: set[str], networks: Networks, device: torch.device | str) -> Extractor:
    if recipe.precision == "float64" and torch.device(device).type == "mps":
        raise ValueError(f"protocol {recipe.protocol} computes in float64, which MPS does not have; use the CPU")
    if recipe.extractor == "autoencoder":
        path = _required(networks, "autoencoder", recipe, "train-fad")
        return Autoencoder.load(path).extractor(recipe, device)
    if recipe.extractor == "classifier":
        path = _required(networks, "classifier", recipe, "train-classifier")
        return Classifier.load(path).extractor(recipe, device)
    from .inception import imagenet_extractor  # brings torch-fidelity and torchvision

    paths = {
        "inception 2015-12-05": networks.inception,
        "inception torchvision": networks.inception_torchvision,
        "vgg16": networks.vgg16,
    }
    path = paths[recipe.extractor]
    return imagenet_extractor(recipe, layers, weights=path, device=device, download=networks.download)


def _required(networks: Networks, name: str, recipe: Recipe, command: str) -> Path:
    path = getattr(networks, name)
    if path is None:
        raise ValueError(
            f"{recipe.score} looks through the network {name}: give its path (--networks.{name}; while training "
            f"--{name}), or make one: python -m eval {command}"
        )
    return path
