"""Options of the commands: parsing, and those that several commands have, described once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or mps; auto takes a GPU if there is one.")]
DataRoot = Annotated[
    Path | None,
    tyro.conf.arg(metavar="FOLDER", help="Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data."),
]
Download = Annotated[bool, tyro.conf.arg(help="Fetch missing sets of images; recordings of events are never fetched.")]
BatchSize = Annotated[int, tyro.conf.arg(help="Inputs per pass; changes memory and speed only.")]


def parse(options: Any, program: str, args: Sequence[str], about: str | None = None) -> Any:
    """Build the dataclass `options` from the arguments of a command line, or print its help and exit.

    Args:
        options: a dataclass; its annotations and docstrings become the options.
        program: what the user types before the arguments.
        args: the arguments.
        about: first lines of the help; by default the docstring.
    """
    return tyro.cli(options, prog=program, args=args, description=about)
