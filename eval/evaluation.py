"""Images to scores: the one way in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fsvae_tcja.utils.processes import rank

from .beside import CODE_LENGTH, REAL, enough, kept_floor, real_images, stand_beside, why_no_floor
from .doubt import Doubt, of_seeds
from .doubt import bootstrap as bootstrapped
from .features import Extractor, Job, Seen
from .images import ValueRange
from .measures import FeatureStore
from .networks import Networks
from .opening import open_images
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
from .setting import Progress, Setting, Task
from .sources import Parts, Source, not_told
from .subset import drawn, is_drawn, order_note, subset_note

PART_OF = {"mnist-5k": "mnist"}  # data sets whose images are all in the training split of another one


def evaluate(
    images: Any,
    protocol: Protocol | str = "strict",
    scores: Sequence[str] = (),
    *,
    reference: Any = None,
    floor: Any = False,
    parts: bool = False,
    repeats: int = 1,
    bootstrap: int = 0,
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
        scores: names, each of which is computed once; none takes those whose networks are given (without a reference
            those that compare with nothing), else the protocol's default.
        reference: images, of which a callable or a checkpoint draws as many as are scored, and data sets and folders
            given by name are brought to the size at which a model draws that is scored; statistics (a `Reference`,
            one by the name of each score, the file or folder that `write_references` made, an .npz with mu and sigma
            for fsvae2022). For an Inception Score None.
        floor: real images, as many of which are scored beside (`Score.beside`); True takes the part of the reference's
            data set that it is not compared with, a name without a split that of its own; where there are none, a note
            says why. False: only what is kept with stored statistics.
        parts: of a checkpoint, also score its reconstructions of these real images, which need `floor`, and measure the
            codes of the reference's test split under its prior, where it has a probability.
        repeats: seeds to draw on, from `seed` on: mean, spread and interval (`Score.doubt`).
        bootstrap: halves of the images to score, at least 2, for the same of images that are there already; 0: none.
        networks: where weights lie.
        n: images to score; None takes what the protocol fixes, else all. Of more they are drawn by a fixed permutation
            (docs/SCORING.md), and a note says so.
        seed: that the images are drawn on (None: 0, or that on which a source was opened), or for the record were drawn
            on. While images are drawn the global random state follows from it.
        batch: images per batch, where no recipe fixes it; None: 256.
        device: where to compute.
        value_range: of floating point pixels, which have to state it (`open_images`).
        reference_range: the same of the reference.
        progress: called with the number of images of each batch done, on either side.

    Returns:
        the scores in the order of their names; some measures give several.

    Raises:
        FileNotFoundError: weights, images or a reference that are not there.
        ValueError: anything that does not fit; the message says what was found and what is needed.
    """
    check_seed(seed)
    protocol, networks = get_protocol(protocol), networks or Networks()
    names = scores or networks.usual_scores(protocol, reference is not None)
    recipes = [*dict.fromkeys(map(protocol.recipe, names))]
    source = open_images(images, value_range=value_range, seed=seed or 0, device=device)
    if seed is None:
        seed = source.seed
    elif source.on_seed and source.seed != seed:  # it was opened on another one
        source = source.on_seed(seed)
    _check_doubt(source, repeats, bootstrap)
    if parts and (source.parts is None or floor is False):
        why = "give floor=True or real images (--floor)" if source.parts else f"{source.name} draws from no checkpoint"
        raise ValueError(f"parts (--parts) are those of a checkpoint beside real images: {why}")
    size = common_batch(recipes, batch)
    tasks = _tasks(source, recipes, networks, n, device)
    opened: dict[str, Any] = {"beside": source, "value_range": reference_range, "device": device}
    other = open_reference(reference, protocol, **opened)
    if floor is not False and floor is not True:
        floor = open_reference(floor, protocol, **opened)
    real = real_images(floor, other)
    if parts and not any(enough(real(recipe), count) for _, recipe, count in tasks):
        raise ValueError(
            "parts (--parts) are scored beside as many real images, and there are none: name a data set as the "
            "reference, or real images (floor, --floor IMAGES)"
        )
    wanted = [(extractor, recipe) for extractor, recipe, _ in tasks if recipe.compares]
    references = _references(other, wanted, _drawn_to_compare(other, tasks), protocol, progress)
    setting = Setting(protocol, tasks, references, size)
    jobs = [job_for(*task) for task in tasks]
    stores = [FeatureStore() for _ in jobs] if bootstrap else []
    keeping = [replace(job, collector=store) for job, store in zip(jobs if stores else [], stores, strict=True)]
    seen = setting.read(source, [*jobs, *keeping], seed or 0, progress)
    counted = replace(
        setting, tasks=[(job.extractor, recipe, job.collector.n) for recipe, job in zip(recipes, jobs, strict=True)]
    )
    rounds = _rounds(counted, source, jobs, repeats, seed or 0)
    doubts = _doubts_of_seeds(rounds)
    beside = stand_beside(counted, real, source.parts if parts else None)
    code = _code_length(source.parts, other) if parts and source.parts else {}
    results = []
    for i, (recipe, job) in enumerate(zip(recipes, jobs, strict=True)):
        compared, read = references.get(recipe.score), seen[job.n]
        notes = _notes(source, read, recipe, job, compared, protocol) + _same_note(source, rounds)
        stands = beside.get(recipe.score) or kept_floor(compared, job.collector.n)
        if floor is not False and not any(REAL in found for found in stands.values()):
            notes += (why_no_floor(real(recipe), other, job.collector.n),)
        made = _scores(recipe, job, compared, _about(source, read, seed), notes)
        if stores:
            values = {score.name: score.value for score in made}
            doubts |= bootstrapped(recipe, stores[i], compared, bootstrap, values)
        for score in made:
            doubt = doubts.get(score.name)
            bounded = doubt and doubt.within(*recipe.measured.bounds_of(score.name))
            results.append(replace(score, beside=stands.get(score.name, {}) | code, doubt=bounded))
    return results


def _tasks(
    source: Source, recipes: Sequence[Recipe], networks: Networks, n: int | None, device: torch.device | str
) -> list[Task]:
    """What is computed, with how many images; no network is loaded for a number that cannot be."""
    counts = [recipe.images(n, source.n) for recipe in recipes]
    if source.endless and None in counts:
        raise not_told(source)
    return list(zip(networks.load(recipes, device), recipes, counts, strict=True))


def _drawn_to_compare(reference: Any, tasks: Sequence[Task]) -> int | None:
    """How many images are drawn of a reference that is endless: as many as are scored; None: it is not."""
    if not isinstance(reference, Source) or not reference.endless:
        return None
    return max((count or 0 for _, recipe, count in tasks if recipe.compares), default=0) or None


def _about(source: Source, seen: Seen, seed: int | None) -> dict[str, Any]:
    """What the images are, as Score has it."""
    pixels = source.pixels or seen.size
    return {"seed": seed, "images": source.name, "pixels": pixels, "value_range": source.value_range}


def _notes(
    source: Source, seen: Seen, recipe: Recipe, job: Job, reference: Reference | None, protocol: Protocol
) -> tuple[str, ...]:
    """What a reader must know of the images of a score, and of what they are compared with."""
    which = subset_note(source, job.n, protocol) + order_note(source, job.n, recipe, protocol)
    odd = _odd_pairs(source, source.pixels or seen.size, job.extractor, reference)
    return source.notes + which + seen.notes + odd


def _check_doubt(source: Source, repeats: int, bootstrap: int) -> None:
    """Refuse repetitions that the images do not give."""
    if repeats < 1 or bootstrap < 0 or bootstrap == 1:
        raise ValueError(f"repeats must be at least 1 and bootstrap 0 or at least 2, found {repeats} and {bootstrap}")
    if repeats > 1 and bootstrap:
        raise ValueError("give repeats (seeds) or bootstrap (halves of the images), not both")
    if repeats > 1 and source.on_seed is None:
        raise ValueError(
            f"{source.name}: its images are there already and cannot be drawn on other seeds (repeats, --repeats); "
            "take bootstrap (--bootstrap 100)"
        )


Rounds = list[dict[str, dict[str, float]]]
"""Of each seed the values by score and by name of the value; none where there are no repeats."""


def _rounds(setting: Setting, source: Source, jobs: Sequence[Job], repeats: int, seed: int) -> Rounds:
    """The first of them is what the jobs have collected."""
    if repeats == 1:
        return []
    assert source.on_seed, "checked"
    rounds = [
        {one.score: setting.value(one, job.collector) for (_, one, _), job in zip(setting.tasks, jobs, strict=True)}
    ]
    return rounds + [setting.values(source.on_seed(seed + i), seed=seed + i) for i in range(1, repeats)]


def _doubts_of_seeds(rounds: Rounds) -> dict[str, Doubt]:
    """By name of each value, where there are repeats."""
    names = [(score, name) for score, values in rounds[0].items() for name in values] if rounds else []
    return {name: of_seeds([one[score][name] for one in rounds]) for score, name in names}


def _same_note(source: Source, rounds: Rounds) -> tuple[str, ...]:
    """A note on images that are the same whatever the seed, as it seems."""
    if not rounds or any(one != rounds[0] for one in rounds):
        return ()
    why = "a callable has to take PyTorch's, NumPy's or Python's global random state, which follows from the seed"
    return (
        f"{source.name}: the scores on {len(rounds)} seeds are equal, as if its images did not depend on it: {why}",
    )


def _code_length(parts: Parts, reference: Any) -> dict[str, Any]:
    """What the prior needs for the codes of the reference's test split, as it stands beside a score."""
    held_out = reference
    if isinstance(reference, Source) and reference.sibling is not None:
        held_out = reference.sibling("test")
    if not isinstance(held_out, Source) or held_out.endless or (nats := parts.code_nats(held_out)) is None:
        return {}
    return {CODE_LENGTH: {"value": nats, "images": held_out.name}}


def make_references(
    images: Any,
    protocol: Protocol | str = "strict",
    scores: Sequence[str] = (),
    *,
    networks: Networks | None = None,
    n: int | None = None,
    floors: Sequence[int] = (),
    device: torch.device | str = "cpu",
    value_range: ValueRange | None = None,
    progress: Progress | None = None,
) -> dict[str, Reference]:
    """What `evaluate` compares with, by the name of each score that compares, to be used any number of times.

    Args:
        images: what `open_images` takes; a data set without a split is that of the protocol.
        n: images to use, drawn by a fixed permutation; None: all, which a callable or a checkpoint does not have.
        floors: numbers of real images, of the data set's other split, whose scores are kept with the references.
        protocol: this and the following as in `evaluate`.
        scores: names.
        networks: that the images are looked at through.
        device: where to compute.
        value_range: of floating point pixels.
        progress: called with the number of images of each batch.

    Raises:
        FileNotFoundError, ValueError: as `evaluate`.
    """
    protocol = get_protocol(protocol)
    networks = networks or Networks()
    recipes = [protocol.recipe(name) for name in scores or networks.usual_scores(protocol)]
    recipes = [recipe for recipe in recipes if recipe.compares]
    wanted = list(zip(networks.load(recipes, device), recipes, strict=True))
    source = open_reference(images, protocol, value_range=value_range, device=device)
    references = _references(source, wanted, n, protocol, progress)
    real = real_images(True, source)
    for count in floors:
        tasks = [(extractor, recipe, recipe.images(count)) for extractor, recipe in wanted]
        setting = Setting(protocol, tasks, references, common_batch(recipes))
        beside = stand_beside(setting, real, None)
        if missing := references.keys() - beside.keys():
            why = next((f": {found}" for _, recipe in wanted if isinstance(found := real(recipe), str)), "")
            named = ", ".join(sorted(missing))
            raise ValueError(f"there are no {count} real images beside {source.name} for {named}{why}")
        for score, values in beside.items():
            kept = references[score].floors | {str(count): {name: one[REAL] for name, one in values.items()}}
            references[score] = replace(references[score], floors=kept)
    return references


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


def open_reference(what: Any, protocol: Protocol, *, beside: Source | None = None, **options: Any) -> Any:
    """Images to compare with as a source, by the options of `open_images`; statistics stay what they are.

    Of a data set or a folder with splits, whose name says none, that is taken which the protocol compares with. A
    checkpoint draws on REFERENCE_SEED. Data sets and folders are brought to the size at which a model `beside` them
    draws, unless another size is given.

    Raises:
        ValueError: a range stated for statistics, which hold no pixels, and as `open_images`.
    """
    statistics = isinstance(what, Reference) or (isinstance(what, Mapping) and _are_references(what))
    stored = isinstance(what, str | Path) and holds_statistics(what)
    if what is None or statistics or stored:
        if options.get("value_range") is not None:
            raise ValueError("statistics hold no pixels, whose range could be stated: leave it out (--reference-range)")
        return Path(what).expanduser() if stored else what
    split = protocol.split_of(what if isinstance(what, str) else "") or "test"
    usual = (beside.drawn_size if beside else None) or 0
    source = open_images(what, seed=REFERENCE_SEED, split=split, usual_size=usual, **options)
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
        raise ValueError(
            f"{', '.join(names)} compares images with others: give a reference, statistics or images (reference, "
            "--reference)"
        )
    if isinstance(given, Reference):
        made = [given] * len(wanted)
    elif isinstance(given, Mapping):
        if missing := [name for name in names if name not in given]:
            raise ValueError(f"there is no reference for {', '.join(missing)}; there are some for {', '.join(given)}")
        made = [given[name] for name in names]
    elif isinstance(given, Path):
        made = [stored_reference(given, extractor, recipe) for extractor, recipe in wanted]
    elif split := next((other for _, recipe in wanted if (other := _other_split(given, recipe))), None):
        # a score that compares with another split than the first: memorisation is seen against training images
        apart = [(extractor, recipe) for extractor, recipe in wanted if _other_split(given, recipe) == split]
        rest = [pair for pair in wanted if pair not in apart]
        found = _references(given.sibling(split), apart, n, protocol, progress)
        return found | _references(given, rest, n, protocol, progress)
    else:
        notes = subset_note(given, n, protocol)
        orders = [notes + order_note(given, n, recipe, protocol) for _, recipe in wanted]
        source = drawn(given, n) if n is not None and is_drawn(given, n, protocol) else given
        made = collect_references(source, wanted, n=n, progress=progress)
        made = [replace(one, notes=one.notes + more) for one, more in zip(made, orders, strict=True)]
    for reference, (extractor, recipe) in zip(made, wanted, strict=True):
        reference.check(extractor, recipe)
    return dict(zip(names, made, strict=True))


def _other_split(given: Source, recipe: Recipe) -> str | None:
    """Which other split of a source a recipe compares with, if the source is of one, was not asked for by its name, and
    has others."""
    needed = recipe.split_of(given.data_set or "")
    return needed if given.sibling and not given.named and needed != given.split else None


def _odd_pairs(source: Source, pixels: str, extractor: Extractor, reference: Reference | None) -> tuple[str, ...]:
    """Notes on images that are compared with themselves, or with some of another size, and on a network of another
    data set."""
    compared = reference.key["data"] if reference else {}
    where = compared.get("data_set"), compared.get("split")
    folder, known = compared.get("folder"), compared.get("data_set")
    notes = []
    if source.data_set and where == (source.data_set, source.split):
        notes.append(f"{source.name}: the images are compared with themselves")
    if reference and extractor.size is None and _differ_in_size(pixels, reference.pixels):
        notes.append(f"{source.name}: {pixels}, compared with {reference.pixels}: these differ in sharpness anyway")
    of = folder or known or source.data_set
    if extractor.data and of and extractor.data not in (of, PART_OF.get(of)):
        called = "the folder of the reference is called" if folder else "the reference is of"
        told = f"{called} {of}" if folder or known else f"the images are of {of}"
        notes.append(f"the {extractor.name} was trained on {extractor.data}; {told}")
    return tuple(notes)


def _differ_in_size(*pixels: str) -> bool:
    """Whether images that come as they are, "28 x 28", are of several sizes."""
    return len(set(pixels)) > 1 and all(re.fullmatch(r"\d+ x \d+", one) for one in pixels)


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
