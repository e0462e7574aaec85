"""Images to scores: the one way in."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fsvae_tcja.data.image_sets import IMAGE_SETS
from fsvae_tcja.utils.processes import rank

from .features import BATCH, Extractor, Job, run
from .images import ValueRange
from .networks import Networks
from .protocols import Protocol, Recipe, get_protocol
from .randomness import check_seed
from .reference import (
    REFERENCE_SEED,
    Reference,
    check_keeps_statistics,
    collect_references,
    common_batch,
    holds_statistics,
    job_for,
    statistics_file,
    stored_reference,
)
from .result import Score
from .sources import Source, open_images

Progress = Callable[[int], None]
"""Called with the number of images of each batch done."""


def evaluate(
    images: Any,
    protocol: Protocol | str = "strict",
    scores: Sequence[str] = (),
    *,
    reference: Any = None,
    networks: Networks | None = None,
    n: int | None = None,
    seed: int | None = None,
    batch: int = BATCH,
    device: torch.device | str = "cpu",
    value_range: ValueRange | None = None,
    reference_range: ValueRange | None = None,
    progress: Progress | None = None,
) -> list[Score]:
    """Score images under a protocol, in one pass over them. The global random state is left as it was.

    Args:
        images: what `open_images` takes: a tensor, an array, a path, a data set, a loader, a callable, a checkpoint.
        protocol: what is fixed, or its name in PROTOCOLS.
        scores: names; none takes those whose networks are given, else the protocol's default.
        reference: images, of which a callable or a checkpoint draws as many as are scored; statistics (a `Reference`,
            one by the name of each score, the file or folder that `write_references` made, an .npz with mu and sigma
            for fsvae2022). For an Inception Score None.
        networks: where weights lie.
        n: images to score; None takes what the protocol fixes, else all.
        seed: that the images are drawn on (None: 0), or for the record were drawn on. While images are drawn the global
            random state follows from it.
        batch: images per batch where no recipe fixes it.
        device: where to compute.
        value_range, reference_range: of floating point pixels on either side, which have to state it.
        progress: called with the number of images of each batch done, on either side.

    Returns:
        the scores in the order of their names; some measures give several.

    Raises:
        FileNotFoundError: weights, images or a reference that are not there.
        ValueError: anything that does not fit; the message says what was found and what is needed.
    """
    check_seed(seed)
    protocol = get_protocol(protocol)
    networks = networks or Networks()
    recipes = [protocol.recipe(name) for name in scores or networks.usual_scores(protocol)]
    source = open_images(images, value_range=value_range, seed=seed or 0, device=device)
    counts = [recipe.images(n, source.n) for recipe in recipes]
    tasks = list(zip(networks.load(recipes, device), recipes, counts, strict=True))
    other = open_reference(reference, protocol, value_range=reference_range, device=device)
    wanted = [(extractor, recipe) for extractor, recipe, _ in tasks if recipe.compares]
    drawn = None  # of images that are drawn to compare with
    if isinstance(other, Source) and other.endless:
        drawn = max((count or 0 for _, recipe, count in tasks if recipe.compares), default=0) or None
    references = _references(other, wanted, drawn, progress)
    jobs = [job_for(*task) for task in tasks]
    size = run(source, jobs, batch=common_batch(recipes, batch), seed=seed or 0, progress=progress)
    made: dict[str, Any] = {
        "seed": source.seed if seed is None else seed,
        "images": source.name,
        "pixels": source.pixels or size,
        "value_range": source.value_range,
    }
    results = []
    for recipe, job in zip(recipes, jobs, strict=True):
        notes = _cut_notes(recipe, n, job.collector.n, source.n)
        results += _scores(recipe, job, references.get(recipe.score), made, notes)
    return results


def make_references(
    images: Any,
    protocol: Protocol | str = "strict",
    scores: Sequence[str] = (),
    *,
    networks: Networks | None = None,
    n: int | None = None,
    device: torch.device | str = "cpu",
    value_range: ValueRange | None = None,
    progress: Progress | None = None,
) -> dict[str, Reference]:
    """What `evaluate` compares with, by the name of each score that compares, to be used any number of times.

    Args:
        images: what `open_images` takes; a data set without a split is that of the protocol.
        n: images to use; None: all, which a callable or a checkpoint does not have.
        protocol, scores, networks, device, value_range, progress: see `evaluate`.

    Raises:
        FileNotFoundError, ValueError: as `evaluate`.
    """
    protocol = get_protocol(protocol)
    networks = networks or Networks()
    recipes = [protocol.recipe(name) for name in scores or networks.usual_scores(protocol)]
    recipes = [recipe for recipe in recipes if recipe.compares]
    wanted = list(zip(networks.load(recipes, device), recipes, strict=True))
    source = open_reference(images, protocol, value_range=value_range, device=device)
    return _references(source, wanted, n, progress)


def write_references(
    images: Any, protocol: Protocol | str, scores: Sequence[str], folder: str | Path, **options: Any
) -> list[Path]:
    """`make_references` with its options, for scores that are Frechet distances, and a file of statistics for each.

    Raises:
        FileNotFoundError, ValueError: as `evaluate`, and for a score that keeps no statistics.
    """
    folder, protocol = Path(folder), get_protocol(protocol)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cannot write statistics into {folder}: it is a file; give a folder")
    for name in scores:
        check_keeps_statistics(protocol.recipe(name))
    references = make_references(images, protocol, scores, **options)
    paths = {statistics_file(folder, protocol.name, name): reference for name, reference in references.items()}
    for path, reference in paths.items() if rank() == 0 else ():
        reference.save(path)
    return list(paths)


def open_reference(what: Any, protocol: Protocol, **options: Any) -> Any:
    """Images to compare with as a source, by the options of `open_images`; statistics stay what they are.

    A data set without a split is that which the protocol compares with; a checkpoint draws on REFERENCE_SEED.
    """
    if what is None or isinstance(what, Reference | Mapping):
        return what
    if isinstance(what, str | Path):
        if str(what) in IMAGE_SETS:
            what = f"{what}:{protocol.split_of(str(what)) or 'test'}"
        elif holds_statistics(what):
            return Path(what).expanduser()
    return open_images(what, seed=REFERENCE_SEED, **options)


def _references(
    given: Any, wanted: Sequence[tuple[Extractor, Recipe]], n: int | None, progress: Progress | None
) -> dict[str, Reference]:
    """The references of scores that compare, by name; made of the first n images of a source (None: all)."""
    names = [recipe.score for _, recipe in wanted]
    if not wanted:
        return {}
    if given is None:
        raise ValueError(f"{', '.join(names)} compares images with others: give a reference (statistics or images)")
    if isinstance(given, Reference):
        made = [given] * len(wanted)
    elif isinstance(given, Mapping):
        if missing := [name for name in names if name not in given]:
            raise ValueError(f"there is no reference for {', '.join(missing)}; there are some for {', '.join(given)}")
        made = [given[name] for name in names]
    elif isinstance(given, Path):
        made = [stored_reference(given, extractor, recipe) for extractor, recipe in wanted]
    else:
        made = collect_references(given, wanted, n=n, progress=progress)
    for reference, (extractor, recipe) in zip(made, wanted, strict=True):
        reference.check(extractor, recipe)
    return dict(zip(names, made, strict=True))


def _scores(
    recipe: Recipe, job: Job, reference: Reference | None, made: dict[str, Any], notes: tuple[str, ...]
) -> list[Score]:
    """The scores that a measure makes of what was collected; `made` says what the images are, as Score has it."""
    measure, collected, extractor = recipe.measured, job.collector, job.extractor
    other = reference.statistics if reference else None
    measure.check(recipe, collected.n, reference.n if reference else None)
    notes = measure.notes(recipe, collected, other) + (reference.notes if reference else ()) + notes + extractor.notes
    return [
        Score(
            name=name,
            value=value,
            std=std,
            protocol=recipe.protocol,
            n=collected.n,
            extractor=extractor.sha256,
            extractor_description=extractor.name,
            reference=reference.sha256 if reference else None,
            reference_description=reference.description if reference else "no reference",
            reference_pixels=reference.pixels if reference else None,
            recipe=recipe.as_dict(),
            notes=notes,
            **made,
        )
        for name, (value, std) in measure.value(recipe, collected, other).items()
    ]


def _cut_notes(recipe: Recipe, asked: int | None, n: int, there: int | None) -> tuple[str, ...]:
    if recipe.at_most is None or asked is not None or there in (None, n):
        return ()
    return (f"{recipe.score}: the first {n:,} of {there:,} images, as protocol {recipe.protocol} has it",)
