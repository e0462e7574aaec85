"""What scores are computed with, whichever images are scored: extractors, recipes, references; in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .features import Extractor, Job, Seen, run
from .measures import Collector
from .protocols import Protocol, Recipe
from .reference import Reference, job_for
from .sources import Source
from .subset import drawn, is_drawn

Progress = Callable[[int], None]
"""Called with the number of images of each batch done."""
Task = tuple[Extractor, Recipe, int | None]
"""A score of n images (None: all)."""


@dataclass(frozen=True)
class Setting:
    """All that a score depends on besides the images."""

    protocol: Protocol
    tasks: Sequence[Task]
    references: dict[str, Reference]
    """By name of the score; none for scores that do not compare."""
    batch: int

    def read(
        self, source: Source, jobs: Sequence[Job], seed: int = 0, progress: Progress | None = None
    ) -> dict[int | None, Seen]:
        """Fill the collectors of jobs: one pass for those that draw images from the source, one for the others."""
        seen: dict[int | None, Seen] = {}
        for draws in (False, True):
            some = [job for job in jobs if is_drawn(source, job.n, self.protocol) is draws]
            if some:
                one = drawn(source, max(job.n or 0 for job in some)) if draws else source
                found = run(one, some, batch=self.batch, seed=seed, progress=progress)
                seen |= dict.fromkeys((job.n for job in some), found)
        return seen

    def values(self, source: Source, tasks: Sequence[Task] | None = None, seed: int = 0) -> dict[str, dict[str, float]]:
        """The values of tasks (None: all) of other images, by score and by name of the value."""
        tasks = self.tasks if tasks is None else tasks
        jobs = [job_for(*task) for task in tasks]
        self.read(source, jobs, seed)
        return {
            recipe.score: self.value(recipe, job.collector) for (_, recipe, _), job in zip(tasks, jobs, strict=True)
        }

    def value(self, recipe: Recipe, collected: Collector) -> dict[str, float]:
        """The values of one score, by name."""
        reference = self.references.get(recipe.score)
        found = recipe.measured.value(recipe, collected, reference.statistics if reference else None)
        return {name: value for name, (value, _) in found.items()}
