"""The stages of a run, in the count of its steps and epochs."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

from .config import Stage


class Span(NamedTuple):
    """Where a stage lies in a run."""

    stage: Stage
    number: int
    """Counted from 0."""
    first: int
    """Steps of the run before it."""
    total: int
    """Its steps."""
    epochs_before: int
    """Epochs of the run before it."""
    steps_per_epoch: int

    @property
    def end(self) -> int:
        """Steps of the run after it."""
        return self.first + self.total

    def epoch(self, step: int) -> int:
        """The epoch that step `step` belongs to; both counted from 1 over the whole run."""
        return self.epochs_before + ceil((step - self.first) / self.steps_per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Whether this step, counted from 1 over the run, is the last of its epoch or of the stage."""
        return (step - self.first) % self.steps_per_epoch == 0 or step == self.end

    def position(self, step: int) -> tuple[int, int]:
        """After `step` steps of the run: the epoch of the next one, from 0, and how many of its steps are done."""
        epochs, done = divmod(step - self.first, self.steps_per_epoch)
        return self.epochs_before + epochs, done


def spans(stages: Sequence[Stage], steps_per_epoch: Callable[[Stage], int]) -> list[Span]:
    """The stages one after the other, each with so many steps an epoch."""
    found: list[Span] = []
    first = epochs = 0
    for number, stage in enumerate(stages):
        each = steps_per_epoch(stage)
        span = Span(stage, number, first, stage.total_steps(each), epochs, each)
        first, epochs = span.end, span.epoch(span.end)
        found.append(span)
    return found
