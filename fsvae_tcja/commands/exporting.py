"""fsvae-tcja export: a checkpoint of ours for another program."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from ..export import fidelity, nir, onnx
from ..export import torch as program
from ..utils.options import File, parse
from ..utils.outputs import check_out
from ..utils.spelling import choose
from ..utils.streams import tell
from ..vae import load
from ..vae.export import export_fsvae2022


class Format(NamedTuple):
    """A format."""

    write: Callable[..., str | None]
    """(model, path), and one of `parts` if there are any; returns a line for the user."""
    suffix: str
    parts: tuple[str, ...] = ()
    """What --what may name; the first by default."""
    takes: str = ""
    """How long a model of the presets takes on a CPU, if that is long."""


FORMATS = {
    "fsvae2022": Format(export_fsvae2022, ".pth"),
    "onnx": Format(onnx.export_onnx, onnx.SUFFIX, ("noise", "z"), "about a minute"),
    "torch": Format(program.export_torch, program.SUFFIX, ("noise", "z"), "some ten seconds"),
    "torch-fidelity": Format(fidelity.export_fidelity, onnx.SUFFIX, takes="about a minute"),
    "nir": Format(nir.export_nir, nir.SUFFIX, ("encoder",)),
}
FILES = ", ".join(f"{name} ({format.suffix})" for name, format in FORMATS.items())
PARTS = "; ".join(f"{name}: {' or '.join(format.parts)}" for name, format in FORMATS.items() if format.parts)


@dataclass(frozen=True)
class ExportOptions:
    """Write a checkpoint in the format of another program."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model."""
    out: File = None
    """The file; by default fsvae with the suffix of the format."""
    format: Annotated[str, tyro.conf.arg(metavar="NAME", help=f"One of {FILES}.")] = "fsvae2022"
    what: Annotated[str | None, tyro.conf.arg(metavar="PART", help=f"Which part is written. {PARTS}.")] = None


def main(args: list[str]) -> int:
    """Write the file."""
    options = parse(ExportOptions, "fsvae-tcja export", args)
    format = choose(FORMATS, options.format, "format")
    out = options.out or Path("fsvae").with_suffix(format.suffix)
    if options.what and not format.parts:
        raise ValueError(f"{options.format} holds the whole model: leave --what {options.what} away")
    check_out(out, format.suffix)
    parts = [options.what or format.parts[0]] if format.parts else []
    model = load(options.checkpoint)
    if format.takes and {*parts} <= {*format.parts}:
        tell(f"tracing the generator, which takes {format.takes} on a CPU for a model of the presets")
    about = format.write(model, out, *parts)
    print(f"{options.checkpoint} as {options.format}: {out}")
    if about:
        print(about)
    return 0
