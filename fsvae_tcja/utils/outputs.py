"""What lies where a command is to write: one rule for every --out, applied before the work begins.

A picture or a page is replaced, which is said. Whatever else is there, such as weights, an array or scores, may be what
is left of hours, or somebody else's: it stays, and the command is refused.
"""

from pathlib import Path

from .atomic import check_writable
from .streams import tell

DRAWN = (".png", ".html")
"""Ends of names of what is replaced."""


def check_out(path: Path, suffix: str) -> None:
    """Make sure that a file that ends in `suffix` can be written to `path` and that nothing is lost by it.

    Raises:
        ValueError: no such file could be written there, or one is there that must not be replaced.
    """
    check_writable(path, suffix)
    check_kept(path)


def check_kept(path: Path) -> None:
    """Say that a picture or page will be replaced; raise ValueError for any other file that is there."""
    if not path.is_file():
        return
    if path.suffix.lower() not in DRAWN:
        raise ValueError(f"{path} is there already; choose another --out, or delete it")
    tell(f"{path} is there already and will be replaced")
