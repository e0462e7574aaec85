"""fsvae-tcja info: what is in a checkpoint."""

import json
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
from ..utils.tables import facts


@dataclass(frozen=True)
class InfoOptions:
    """What is in a checkpoint: configuration, parameters, training."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint or a run folder."""
    json: bool = False
    """Print all of it as JSON."""


def main(args: list[str]) -> int:
    """Print a table, or JSON."""
    options = parse(InfoOptions, "fsvae-tcja info", args)
    path = find(options.checkpoint)
    tensors, metadata = checkpoint.read(path, prefix="model.")
    learned = sum(t.numel() for n, t in tensors.items() if t.is_floating_point() and ".running_" not in n)
    metadata |= {"parameters": learned, "file": str(path)}
    with reading(path, "holds metadata that cannot be shown"):
        text = json.dumps(metadata, indent=2) if options.json else _table(metadata)
        text.encode()
    print(text)
    return 0


def _table(metadata: Mapping[str, Any]) -> str:
    """What it is, then its settings under the names of their options."""
    settings = metadata.get("training") or {"model": metadata.get("config", {})}
    summary = {name: _text(value) for name, value in metadata.items() if name not in ("config", "training")}
    summary["parameters"] = f"{metadata['parameters']:,}"
    options = {name.replace("_", "-"): _text(value) for name, value in flat(settings).items()}
    sections = {"checkpoint": summary, "settings": options}
    return facts({title: section for title, section in sections.items() if section})


def _text(value: Any) -> str:
    return shown(" ".join(map(str, value)) or "none" if isinstance(value, list) else value)
