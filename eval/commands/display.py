"""What the commands print, and where they may write."""

import io
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from fsvae_tcja.utils.processes import rank, world
from fsvae_tcja.utils.progress import progress

from ..doubt import Doubt
from ..sources import Source

UNKNOWN = "-"  # in a cell
WIDTH = 160  # where there is no terminal


def console() -> Console:
    """Standard output, wide enough for a table if it is no terminal; names are printed as they are.

    A character that it cannot print is escaped: a name ends no finished score.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(width=None if sys.stdout.isatty() else WIDTH, soft_wrap=True, markup=False, emoji=False)


def told(doubt: Doubt) -> str:
    """Mean, spread and interval in words."""
    of = f"{doubt.times} seeds" if doubt.how == "seeds" else f"a bootstrap of {doubt.times} halves of the images"
    return f"{doubt.mean:.5g}, spread {doubt.spread:.3g}, 95% interval {doubt.low:.5g} to {doubt.high:.5g} ({of})"


@contextmanager
def image_bar(total: int | None) -> Iterator[Callable[[int], None]]:
    """The progress over images, on the first process; yields a function (count) -> None."""
    with progress("score", total, "images", hidden=rank() != 0) as bar:
        yield bar.advance


def images_to_read(scored: int | None, reference: Any) -> int | None:
    """Images that this process reads, about; None: unknown. As many are drawn of an endless reference as are scored."""
    if not isinstance(reference, Source):
        return None if scored is None else math.ceil(scored / world())
    compared = scored if reference.endless else reference.n
    return None if scored is None or compared is None else math.ceil((scored + compared) / world())
