"""fsvae-tcja export: a checkpoint of ours for another program."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..utils.options import parse
from ..utils.spelling import choose
from ..vae import FSVAE, load
from ..vae.export import export_fsvae2022

FORMATS: dict[str, Callable[[FSVAE, Path], None]] = {"fsvae2022": export_fsvae2022}
"""By name what writes a model into a file."""


@dataclass(frozen=True)
class ExportOptions:
    """Write a checkpoint in the format of another program."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint or a run folder."""
    out: Path = Path("fsvae.pth")
    """The file; for fsvae2022 a .pth."""
    format: Annotated[str, tyro.conf.arg(metavar="NAME", help=f"One of {', '.join(FORMATS)}.")] = "fsvae2022"


def main(args: list[str]) -> int:
    """Write the file."""
    options = parse(ExportOptions, "fsvae-tcja export", args)
    write = choose(FORMATS, options.format, "format")
    write(load(options.checkpoint), options.out)
    print(f"{options.checkpoint} as {options.format}: {options.out}")
    return 0
