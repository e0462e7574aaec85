"""Files and folders that are either whole or not there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place if the block ends well and is deleted if it raises.

    Missing parent folders are made.

    Raises:
        ValueError: `path` does not end in `suffix`, the kind of file that is about to be written.
    """
    path = Path(path)
    if not path.name.lower().endswith(suffix):
        raise ValueError(f"cannot write {path}: its name must end in {suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder, which becomes `folder` if the block ends well, and is deleted if it raises.

    Missing parent folders are made.

    Raises:
        OSError: `folder` is there and not empty.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write plain data to a .json, indented."""
    with replacing(path, ".json") as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
