"""Files and folders that are either whole or not there, also after a power failure.

What is written lies in a folder of its own beside the target, `.NAME.RANDOM.tmp`, until it is whole: that cannot be
foreseen, follows no link, and a folder that is left behind by a killed process is known by its name (`leftovers`).
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")
NAME = 40  # characters of the target's name that go into that of the temporary folder


@contextmanager
def replacing(
    path: str | Path, suffix: str = "", *, durable: bool = True, previous: Path | None = None
) -> Iterator[Path]:
    """Yield a temporary path, whose file takes the place of `path` if the block ends well and is deleted if it raises.

    Missing parent folders are made. The file can be read by whom the umask allows it.

    Args:
        path: of the file.
        suffix: that its name must have, the kind of file that is about to be written.
        durable: wait for the disk, so that the file survives a power failure. Off for what can be made anew.
        previous: where the file that is replaced goes, in the same folder; None: it is lost.

    Raises:
        ValueError: `path` names no file, or does not end in `suffix`.
    """
    path = Path(path)
    if not path.name.lower().endswith(suffix) or not path.name:
        raise ValueError(f"cannot write {path}: its name must end in {suffix or 'that of a file'}")
    with _beside(path) as unfinished:
        temporary = unfinished / path.name
        yield temporary
        os.chmod(temporary, unfinished.stat().st_mode & 0o666)  # libraries write their own files as 0600
        if durable:
            _sync(temporary)
        if previous and path.is_file():
            os.replace(path, previous)
        os.replace(temporary, path)
        if durable:
            _sync(path.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder, which becomes `folder` if the block ends well, and is deleted if it raises.

    Missing parent folders are made.

    Raises:
        OSError: `folder` is there and not empty.
    """
    with _beside(folder) as unfinished:
        temporary = unfinished / folder.name
        temporary.mkdir()
        yield temporary
        os.sync()  # once, instead of for each of thousands of files
        temporary.replace(folder)
        _sync(folder.parent)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, gone at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / f".{path.name[:NAME]}.{secrets.token_hex(8)}.tmp"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_place(path: Path) -> None:
    """Raise ValueError, before the work that fills it, if no file or folder could be made at `path`."""
    whole = path.absolute()
    parent = next((parent for parent in whole.parents if parent.exists()), whole)
    if not parent.is_dir() or not _takes_files(parent):
        raise ValueError(f"cannot write {path}: {parent} is no folder that may be written to")


def _takes_files(folder: Path) -> bool:
    """Tried out: rights alone do not say so of every file system, nor to root."""
    try:
        TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def check_writable(path: Path, suffix: str) -> None:
    """Raise ValueError, before the work that fills it, if no file that ends in `suffix` could be written to `path`."""
    if not path.name.lower().endswith(suffix):
        raise ValueError(f"cannot write {path}: its name must end in {suffix}")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file")
    check_place(path)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def leftovers(folder: Path) -> dict[Path, str]:
    """What killed processes left in a folder, each with the (first letters of the) name that it was to have."""
    found = {path: LEFTOVER.fullmatch(path.name) for path in folder.iterdir()} if folder.is_dir() else {}
    return {path: match[1] for path, match in found.items() if match}


def write_json(path: str | Path, value: Any) -> None:
    """Write plain data to a .json, indented."""
    with replacing(path, ".json") as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
