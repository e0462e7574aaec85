"""fsvae-tcja import: files of the FSVAE authors as ours: models, autoencoders of the FAD, statistics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..runtime.checkpoint import read_state_dict
from ..utils.options import File, parse
from ..utils.outputs import check_out
from ..utils.program import check_not_hidden
from ..vae import save
from ..vae.interop import import_fsvae2022


@dataclass(frozen=True)
class ImportOptions:
    """Read a file of the FSVAE 2022 program and write ours: a model, an autoencoder of the FAD, or statistics."""

    file: Annotated[Path, tyro.conf.Positional]
    """A .pth of a model (32 or 64 pixels) or of an autoencoder, or an .npz with mu and sigma."""
    out: File = None
    """The .safetensors; by default beside the file, with its name."""
    autoencoder: File = None
    """Of statistics: the autoencoder that made them, theirs or ours."""


def main(args: list[str]) -> int:
    """Write the file."""
    options = parse(ImportOptions, "fsvae-tcja import", args)
    out = options.out or options.file.with_suffix(".safetensors")
    check_out(out, ".safetensors")
    if options.file.suffix.lower() == ".npz":
        what = _statistics(options.file, options.autoencoder, out)
    elif options.autoencoder:
        raise ValueError(f"--autoencoder goes with statistics, an .npz; found {options.file}")
    elif options.file.is_file() and "latent_layer.weight" in read_state_dict(options.file):
        what = _autoencoder(options.file, out)
    else:
        model = import_fsvae2022(options.file)
        save(model, out)
        c = model.config
        what = f"FSVAE for {c.in_channels}x{c.image_size}x{c.image_size}, T = {c.T}, L = {c.L}"
    print(f"{what}: {out}")
    return 0


def _autoencoder(file: Path, out: Path) -> str:
    check_not_hidden("eval")
    from eval.networks.autoencoder import Autoencoder

    network = Autoencoder.load(file)
    network.save(out)
    return network.description


def _statistics(file: Path, autoencoder: Path | None, out: Path) -> str:
    check_not_hidden("eval")
    from eval.networks.autoencoder import Autoencoder
    from eval.protocols import PROTOCOLS
    from eval.reference import load_fsvae2022_reference

    if autoencoder is None:
        raise ValueError(f"{file} does not say which autoencoder made it; give it with --autoencoder")
    if not file.is_file():
        raise FileNotFoundError(f"no statistics at {file}")
    recipe = PROTOCOLS["fsvae2022"].recipe("FAD")
    reference = load_fsvae2022_reference(file, Autoencoder.load(autoencoder).extractor(recipe), recipe)
    reference.save(out)
    return f"statistics of {reference.description}"
