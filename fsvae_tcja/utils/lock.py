"""A folder that one process at a time works in."""

import fcntl
import logging
import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EAGAIN, ENOLCK, ENOSYS, EOPNOTSUPP
from io import FileIO
from pathlib import Path

from .once import warn_once

LOCK = ".lock"
log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, the file .lock in it, until the end of the block or of the process.

    Children made by fork, such as loader processes, do not hold it: they may outlive a killed parent by seconds.

    Raises:
        ValueError: it is held by another process, or elsewhere in this one.
        OSError: the folder is not there or cannot be written to.
    """
    file = _acquired(folder)
    held = weakref.ref(file)

    def let_go() -> None:
        if (inherited := held()) is not None:
            inherited.close()

    os.register_at_fork(after_in_child=let_go)
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        file.close()


def _acquired(folder: Path) -> FileIO:
    while True:
        number = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        file = FileIO(number, "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = file.read(200).decode(errors="replace")
            file.close()
            if error.errno == EAGAIN:
                raise ValueError(
                    f"{folder} is in use ({holder or 'by another process'}): wait until that has ended, or choose "
                    "another folder"
                ) from None
            if error.errno not in (ENOLCK, ENOSYS, EOPNOTSUPP):
                raise
            warn_once(log, f"the file system of {folder} has no locks: see to it yourself that one process works in it")
            return FileIO(os.devnull)
        if _is_still(folder / LOCK, file):
            with suppress(OSError):  # a full disk: the lock holds nevertheless
                file.truncate()
                file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            return file
        file.close()  # it was removed by the one who held it until now


def _is_still(path: Path, file: FileIO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
