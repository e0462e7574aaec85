"""The one progress display: a bar on a terminal, else plain lines on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from .streams import Lasting

FIRST_SECONDS, LINE_SECONDS = 3, 15  # to the first plain line, and between two
MEASURED = 5, 3  # units and seconds, at least, before a forecast is made
LONG = 60  # seconds left from which the forecast is also a message


class Bar(Protocol):
    """What `progress` yields."""

    def advance(self, n: int = 1, /, **figures: float) -> None:
        """Count n more units; figures such as loss=0.1 are shown until there are others."""

    def message(self, line: str) -> None:
        """Show a line of text that stays."""


@contextmanager
def progress(
    title: str,
    total: int | None,
    unit: str,
    done: int = 0,
    *,
    hidden: bool = False,
    stream: TextIO | None = None,
) -> Iterator[Bar]:
    """Show how far something is: title, count, figures and the time left.

    The time left is that of the units after the first one, which may compile or open files and tells nothing of the
    rest. Where it is more than a minute, it is also said once in a line of its own. At the end the bar goes;
    messages stay. Nothing is raised where the stream can no longer be written.

    Args:
        title: what is done, such as "train".
        total: units in all, with those of `done`; None: unknown.
        unit: what is counted, such as "steps".
        done: units that were done before.
        hidden: show nothing, such as in all processes but the first.
        stream: where to; None takes standard error.
    """
    lasting = Lasting(stream or sys.stderr)
    clock = _Clock(total, done)
    if hidden:
        yield _Hidden()
    elif lasting.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
        )
        console = Console(file=cast(TextIO, lasting), markup=False, emoji=False, highlight=False)
        with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
            task = bar.add_task(title, total=total, completed=done, text=unit)
            yield _Terminal(bar, task, clock, unit)
    else:
        yield _Lines(lasting, title, clock, unit)


def duration(seconds: float) -> str:
    """A time as it is said: "40 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class _Clock:
    """Units done, and the seconds that those after the first took."""

    def __init__(self, total: int | None, done: int) -> None:
        self.total, self.done = total, done
        self.began: float | None = None  # when the first unit was over
        self.measured = 0
        self.announced = False

    def advance(self, n: int) -> None:
        self.done += n
        if self.began is None:
            self.began = time.monotonic()
        else:
            self.measured += n

    @property
    def seconds_left(self) -> float | None:
        """None: not known yet."""
        units, seconds = self.measured, time.monotonic() - (self.began or 0)
        if self.total is None or units < MEASURED[0] or seconds < MEASURED[1]:
            return None
        return (self.total - self.done) * seconds / units

    def forecast(self, unit: str) -> str | None:
        """Once, how long the rest will take, if that is long."""
        left = self.seconds_left
        if self.announced or self.total is None or left is None:
            return None
        self.announced = True
        return f"about {duration(left)} for the other {self.total - self.done:,} {unit}" if left > LONG else None


def _shown(figures: dict[str, float], clock: _Clock) -> str:
    parts = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    ]
    left = clock.seconds_left
    return ", ".join(parts if left is None else [*parts, f"{duration(left)} left"])


class _Terminal:
    def __init__(self, bar: Progress, task: TaskID, clock: _Clock, unit: str) -> None:
        self.bar, self.task, self.clock, self.unit = bar, task, clock, unit
        self.figures: dict[str, float] = {}

    def advance(self, n: int = 1, /, **figures: float) -> None:
        self.clock.advance(n)
        self.figures = figures or self.figures
        text = " ".join([self.unit, _shown(self.figures, self.clock)])
        self.bar.update(self.task, completed=self.clock.done, text=text)
        if line := self.clock.forecast(self.unit):
            self.message(line)

    def message(self, line: str) -> None:
        self.bar.console.print(line, soft_wrap=True)


class _Lines:
    def __init__(self, stream: Lasting, title: str, clock: _Clock, unit: str) -> None:
        self.stream, self.title, self.clock, self.unit = stream, title, clock, unit
        self.figures: dict[str, float] = {}
        self.next = time.monotonic() + FIRST_SECONDS

    def advance(self, n: int = 1, /, **figures: float) -> None:
        self.clock.advance(n)
        self.figures = figures or self.figures
        if line := self.clock.forecast(self.unit):
            self.message(line)
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + LINE_SECONDS
            total = "" if self.clock.total is None else f" of {self.clock.total:,}"
            parts = [f"{self.title}: {self.clock.done:,}{total} {self.unit}", _shown(self.figures, self.clock)]
            self.message(", ".join(part for part in parts if part))

    def message(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class _Hidden:
    def advance(self, n: int = 1, /, **figures: float) -> None:
        pass

    def message(self, line: str) -> None:
        pass
