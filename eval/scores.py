"""From images to scores."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .features import BATCH, Collector, Extractor, Job, run, sum_device
from .frechet import frechet_distance
from .generators import Source, open_images
from .images import ValueRange, too_few
from .inception_score import InceptionScore, check_splits, split_of_each
from .protocols import Recipe
from .randomness import check_seed
from .result import Score
from .stats import Reference, collector_for, common_batch

KID_SUBSET = 1000  # torch-fidelity's
LEAST = {"kid": 2, "precision recall": 4}  # pairs of images; an image and its three nearest neighbours
COLLAPSED = 1e-6  # of the variance of the other images, or of an Inception Score above 1


@dataclass(frozen=True)
class Task:
    """One score to compute.

    Raises:
        ValueError: a reference of another extractor or recipe, or none where one is needed.
    """

    recipe: Recipe
    """What the protocol fixes."""
    extractor: Extractor
    """Gives the features."""
    reference: Reference | None = None
    """What to compare with; an Inception Score compares with nothing."""

    def __post_init__(self) -> None:
        if self.reference is not None:
            self.reference.check(self.extractor, self.recipe)
        elif self.recipe.compares:
            raise ValueError(f"{self.recipe.score} compares images with others: give a reference")


def compute(
    images: Any,
    tasks: Sequence[Task],
    *,
    n: int | None = None,
    seed: int | None = None,
    batch: int = BATCH,
    value_range: ValueRange | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Scores of one set of images, in one pass over it. The global random state is left as it was.

    Args:
        images: a source, or what `open_images` takes.
        tasks: which scores.
        n: images to score; None takes what the protocol fixes, else all.
        seed: recorded; the global random state follows from it, or from 0, while images are drawn.
        batch: images per batch where no recipe fixes it.
        value_range: see `open_images`.
        progress: called with the number of images of each batch done.

    Raises:
        ValueError: images that do not fit, fewer than n, or a seed out of range.
    """
    check_seed(seed)
    source = open_images(images, value_range=value_range)
    counts = [images_to_score(task.recipe, n, source.n, source.name) for task in tasks]
    collectors = [_collector(task, count) for task, count in zip(tasks, counts, strict=True)]
    jobs = [
        Job(task.extractor, task.recipe.layer, collector, count)
        for task, collector, count in zip(tasks, collectors, counts, strict=True)
    ]
    batch = common_batch([task.recipe for task in tasks], batch)
    size = run(source, jobs, batch=batch, seed=seed or 0, progress=progress)
    return [
        score
        for task, collector in zip(tasks, collectors, strict=True)
        for score in _scores(task, collector, n, seed, source, source.pixels or size)
    ]


def score(
    images: Any,
    extractor: Extractor,
    recipe: Recipe,
    reference: Reference | None = None,
    *,
    n: int | None = None,
    seed: int | None = None,
    batch: int = BATCH,
    value_range: ValueRange | None = None,
) -> Score:
    """`compute` for one score.

    Raises:
        ValueError: what `compute` raises, or a recipe that gives two scores.
    """
    if recipe.measure == "precision recall":
        raise ValueError(f"{recipe.score} gives two scores, Precision and Recall: use compute")
    task = Task(recipe, extractor, reference)
    return compute(images, [task], n=n, seed=seed, batch=batch, value_range=value_range)[0]


def images_to_score(recipe: Recipe, asked: int | None, there: int | None, name: str) -> int | None:
    """Of `there` images called `name`; None: all of a stream whose length is unknown.

    Raises:
        ValueError: there are fewer, too few for the splits, or an unknown number where it has to be known.
    """
    count = recipe.images(asked) or there
    if asked is None and recipe.at_most is not None and count is not None:
        count = min(count, recipe.at_most)
    if count is None and not recipe.compares:
        raise ValueError(
            f"{recipe.score} is split before it is computed: say how many images of {name} to score (n, --n-images)"
        )
    if None not in (count, there) and count > there:
        raise too_few(count, there)
    if not recipe.compares:
        check_splits(count, recipe.splits)
    return count


def _collector(task: Task, count: int | None) -> Collector:
    recipe, extractor = task.recipe, task.extractor
    if recipe.compares:
        return collector_for(extractor, recipe)
    split = split_of_each(count, recipe.splits, recipe.split_order == "shuffled")
    return InceptionScore(split, extractor.dims[recipe.layer], sum_device(extractor.device))


def _scores(
    task: Task, collector: Any, asked: int | None, seed: int | None, source: Source, pixels: str
) -> list[Score]:
    recipe, reference = task.recipe, task.reference
    if recipe.compares:
        _check_enough(recipe, collector.n, reference.n)
        values, notes = _compare(recipe, collector, reference)
        notes += _collapse_notes(recipe.score, collector.variance, reference.statistics.variance)
        notes += reference.notes
    else:
        values = {recipe.score: collector.value()}
        notes = _constant_notes(recipe.score, values[recipe.score][0])
    notes += _cut_notes(recipe, asked, collector.n, source.n)
    return [
        Score(
            name=name,
            value=value,
            std=std,
            protocol=recipe.protocol,
            n=collector.n,
            seed=seed,
            images=source.name,
            pixels=pixels,
            value_range=source.value_range,
            extractor=task.extractor.sha256,
            extractor_description=task.extractor.name,
            reference=reference.sha256 if reference else None,
            reference_description=reference.description if reference else "no reference",
            reference_pixels=reference.pixels if reference else None,
            recipe=recipe.as_dict(),
            notes=notes + task.extractor.notes,
        )
        for name, (value, std) in values.items()
    ]


def _compare(
    recipe: Recipe, collector: Any, reference: Reference
) -> tuple[dict[str, tuple[float, float | None]], tuple[str, ...]]:
    """Value and deviation by name, and notes."""
    if recipe.measure == "frechet":
        distance = frechet_distance(collector, reference.statistics)
        counts = {"scored": collector.n, "reference": reference.n}
        return {recipe.score: (distance, None)}, _rank_notes(recipe.score, counts, collector.dim)
    if recipe.measure == "kid":
        return {recipe.score: _kid(collector, reference)}, _kid_notes(collector, reference)
    return _precision_recall(collector, reference), ()


def _check_enough(recipe: Recipe, scored: int, reference: int | None) -> None:
    least = LEAST.get(recipe.measure)
    if least is not None and min(scored, reference) < least:
        raise ValueError(
            f"{recipe.score} needs at least {least} images on either side, found {scored} to score and {reference} "
            "to compare with"
        )


def _constant_notes(name: str, value: float) -> tuple[str, ...]:
    if value > 1 + COLLAPSED:
        return ()
    return (f"{name}: the network predicts the same of every image: they are all but equal, or nothing that it knows",)


def _cut_notes(recipe: Recipe, asked: int | None, n: int, there: int | None) -> tuple[str, ...]:
    if recipe.at_most is None or asked is not None or there in (None, n):
        return ()
    return (f"{recipe.score}: the first {n:,} of {there:,} images, as protocol {recipe.protocol} has it",)


def _collapse_notes(name: str, scored: float, reference: float) -> tuple[str, ...]:
    return tuple(
        f"{name}: the {which} images are all but equal in these features (variance {one:.1e}, the others {other:.1e})"
        for which, one, other in (("scored", scored, reference), ("reference", reference, scored))
        if one <= COLLAPSED * other
    )


def _rank_notes(name: str, counts: dict[str, int | None], dim: int) -> tuple[str, ...]:
    notes = tuple(
        f"{name}: {n} {which} images for {dim} features: their covariance has rank {n - 1} at most, "
        "the distance is biased upwards"
        for which, n in counts.items()
        if n is not None and n <= dim
    )
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return notes


def _kid_subset(collector: Any, reference: Reference) -> int:
    return min(KID_SUBSET, collector.n, reference.statistics.n)


def _kid_notes(collector: Any, reference: Reference) -> tuple[str, ...]:
    subset = _kid_subset(collector, reference)
    return () if subset == KID_SUBSET else (f"KID: subsets of {subset} images, there are fewer than {KID_SUBSET}",)


def _kid(collector: Any, reference: Reference) -> tuple[float, float]:
    """Mean and deviation over torch-fidelity's 100 random subsets."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    metric = kid_features_to_metric(
        collector.features,
        reference.statistics.features,
        kid_subset_size=_kid_subset(collector, reference),
        verbose=False,
    )
    return metric[KEY_METRIC_KID_MEAN], metric[KEY_METRIC_KID_STD]


def _precision_recall(collector: Any, reference: Reference) -> dict[str, tuple[float, None]]:
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    metric = prc_features_to_metric(collector.features, reference.statistics.features, verbose=False)
    return {"Precision": (metric[KEY_METRIC_PRECISION], None), "Recall": (metric[KEY_METRIC_RECALL], None)}
