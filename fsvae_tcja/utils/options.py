"""Parsing the options of a command."""

from collections.abc import Sequence
from typing import Any

import tyro


def parse(options: Any, program: str, args: Sequence[str], about: str | None = None) -> Any:
    """Build the dataclass `options` from the arguments of a command line, or print its help and exit.

    Args:
        options: a dataclass; its annotations and docstrings become the options.
        program: what the user types before the arguments.
        args: the arguments.
        about: first lines of the help; by default the docstring.
    """
    return tyro.cli(options, prog=program, args=args, description=about)
