"""fsvae-tcja info: what is in a checkpoint."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from ..runtime import checkpoint
from ..runtime.checkpoint import find
from ..runtime.run import flat
from ..utils.foreign import reading
from ..utils.options import parse
from ..utils.printable import shown
from ..utils.program import check_not_hidden
from ..utils.tables import facts


@dataclass(frozen=True)
class InfoOptions:
    """What is in a checkpoint: configuration, parameters, training, and a table of the layers."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model."""
    json: bool = False
    """Print all of it as JSON."""


def main(args: list[str]) -> int:
    """Print a table, or JSON."""
    options = parse(InfoOptions, "fsvae-tcja info", args)
    path = find(options.checkpoint)
    tensors, metadata = checkpoint.read(path, prefix="model.")
    tensors = tensors or checkpoint.read(path)[0]  # a network of scores is all of its file
    learned = sum(t.numel() for n, t in tensors.items() if t.is_floating_point() and ".running_" not in n)
    metadata |= {"parameters": learned, "file": str(path)}
    with reading(path, "holds metadata that cannot be shown"):
        text = json.dumps(metadata, indent=2) if options.json else _table(metadata)
        text.encode()
    print(text)
    if not options.json and metadata.get("kind") in SUMMARIES and "config" in metadata:
        print(f"layers\n{textwrap.indent(_summary(path, metadata['kind']), '  ')}")
    return 0


def _summary(path: Path, kind: str) -> str:
    try:
        return SUMMARIES[kind](path)
    except ValueError as error:  # what is in a file is told also where no model can be made of it
        return f"not shown: {shown(error)}"


def _of_fsvae(path: Path) -> str:
    from ..vae import load
    from ..vae.summary import summary

    return summary(load(path))


def _of_classifier(path: Path) -> str:
    check_not_hidden("classifiers")
    from classifiers import load, summary

    return summary(load(path))


SUMMARIES = {"fsvae": _of_fsvae, "classifier": _of_classifier}
"""By the kind of checkpoint."""


CALLED = {"parameters": "parameters in the file", "made_of": "SHA-256 of the run's tensors"}
"""What the table calls some of the metadata. A file in half precision lacks parameters that never act."""
LONG = ("config", "training", "label_counts")  # what the table leaves out, or has as settings
EMPTY: tuple[Any, ...] = ({}, [], "", None)
"""Metadata that tell nothing, such as the state of a scaler without use. Empty settings are shown: they are choices."""


def _table(metadata: Mapping[str, Any]) -> str:
    """What it is, then its settings under the names of their options."""
    settings = metadata.get("training") or {"model": metadata.get("config", {})}
    told = {**metadata, "parameters": f"{metadata['parameters']:,}"}
    told = {n: value for n, value in told.items() if n not in LONG and value not in EMPTY}
    summary = {CALLED.get(n, n): _text(value) for n, value in told.items()}
    given = flat(settings)
    options = {name.replace("_", "-"): _text(value) for name, value in given.items()}
    for name in given:
        if name.endswith("epochs") and given.get(f"{name.removesuffix('epochs')}steps"):
            options[name.replace("_", "-")] += " (not used: the steps are set)"
    sections = {"checkpoint": summary, "settings": options}
    return facts({title: section for title, section in sections.items() if section})


def _text(value: Any) -> str:
    if not isinstance(value, list):
        return shown(value)
    return shown(("; " if any(isinstance(v, str) for v in value) else " ").join(map(str, value)) or "none")
