"""Images to scores: the one way in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fsvae_tcja.utils.processes import rank

from .features import Extractor, Job, Seen, run
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
from .subset import drawn, is_drawn, order_note, subset_note

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
    batch: int | None = None,
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
        n: images to score; None takes what the protocol fixes, else all. Of more they are drawn by a fixed permutation
            (docs/SCORING.md), and a note says so.
        seed: that the images are drawn on (None: 0), or for the record were drawn on. While images are drawn the global
            random state follows from it.
        batch: images per batch, where no recipe fixes it; None: 256.
        device: where to compute.
        value_range, reference_range: of floating point pixels on either side, which have to state it (`open_images`).
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
    size = common_batch(recipes, batch)
    tasks = list(zip(networks.load(recipes, device), recipes, counts, strict=True))
    other = open_reference(reference, protocol, value_range=reference_range, device=device)
    wanted = [(extractor, recipe) for extractor, recipe, _ in tasks if recipe.compares]
    compared = None  # how many are drawn to compare with
    if isinstance(other, Source) and other.endless:
        compared = max((count or 0 for _, recipe, count in tasks if recipe.compares), default=0) or None
    references = _references(other, wanted, compared, protocol, progress)
    jobs = [job_for(*task) for task in tasks]
    seen = _read(source, jobs, protocol, size, seed or 0, progress)
    results = []
    for recipe, job in zip(recipes, jobs, strict=True):
        made: dict[str, Any] = {
            "seed": source.seed if seed is None else seed,
            "images": source.name,
            "pixels": source.pixels or seen[job.n].size,
            "value_range": source.value_range,
        }
        notes = source.notes + subset_note(source, job.n, protocol)
        notes += order_note(source, job.n, recipe, protocol) + seen[job.n].notes
        results += _scores(recipe, job, references.get(recipe.score), made, notes)
    return results


def _read(
    source: Source, jobs: Sequence[Job], protocol: Protocol, batch: int, seed: int, progress: Progress | None
) -> dict[int | None, Seen]:
    """Fill the collectors of jobs: one pass for those that draw images from the source, one for the others."""
    seen: dict[int | None, Seen] = {}
    for draws in (False, True):
        some = [job for job in jobs if is_drawn(source, job.n, protocol) is draws]
        if some:
            one = drawn(source, max(job.n or 0 for job in some)) if draws else source
            found = run(one, some, batch=batch, seed=seed, progress=progress)
            seen |= dict.fromkeys((job.n for job in some), found)
    return seen


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
        n: images to use, drawn by a fixed permutation; None: all, which a callable or a checkpoint does not have.
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
    return _references(source, wanted, n, protocol, progress)


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

    Of a data set or a folder with splits, whose name says none, that is taken which the protocol compares with. A
    checkpoint draws on REFERENCE_SEED.

    Raises:
        ValueError: a range stated for statistics, which hold no pixels, and as `open_images`.
    """
    statistics = isinstance(what, Reference) or (isinstance(what, Mapping) and _are_references(what))
    stored = isinstance(what, str | Path) and holds_statistics(what)
    if what is None or statistics or stored:
        if options.get("value_range") is not None:
            raise ValueError("statistics hold no pixels, whose range could be stated: leave it out (--reference-range)")
        return Path(what).expanduser() if stored else what
    split = protocol.split_of(str(what) if isinstance(what, str | Path) else "") or "test"
    source = open_images(what, seed=REFERENCE_SEED, split=split, **options)
    if source.data_set is None and source.split not in (None, split):
        note = f"the reference is the split {source.split}; protocol {protocol.name} compares with {split}"
        source = replace(source, notes=(*source.notes, note))
    return source


def _are_references(what: Mapping[Any, Any]) -> bool:
    return all(isinstance(one, Reference) for one in what.values())


def _references(
    given: Any,
    wanted: Sequence[tuple[Extractor, Recipe]],
    n: int | None,
    protocol: Protocol,
    progress: Progress | None,
) -> dict[str, Reference]:
    """The references of scores that compare, by name; made of n images of a source (None: all)."""
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
        notes = subset_note(given, n, protocol)
        orders = [notes + order_note(given, n, recipe, protocol) for _, recipe in wanted]
        source = drawn(given, n) if n is not None and is_drawn(given, n, protocol) else given
        made = collect_references(source, wanted, n=n, progress=progress)
        made = [replace(one, notes=one.notes + more) for one, more in zip(made, orders, strict=True)]
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
