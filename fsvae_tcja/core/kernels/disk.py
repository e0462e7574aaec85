"""Compiled kernels on disk, so that they are compiled once and not at every start: one file for each.

Numba's own cache has one index for all variants of a function: two processes that fill it at once can leave the code
of one under the name of the other, and a damaged file ends the program. Here a file holds the key that it was compiled
for, is written whole or not at all, and is compiled again if anything is wrong with it.
"""

import hashlib
import logging
import os
import pickle
import sys
import tempfile
from functools import cache
from pathlib import Path

import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

log = logging.getLogger(__name__)


def folder() -> Path:
    """$NUMBA_CACHE_DIR, or `fsvae-tcja` in the user's cache folder: as trustworthy as Python's own __pycache__."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fsvae-tcja"


@cache
def sources() -> str:
    """A digest of everything that a kernel is compiled from."""
    here = Path(__file__).parent
    files = sorted([*here.rglob("*.py"), here.parent / "surrogate.py"])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class Disk:
    """What Numba's dispatcher takes as its cache, for one kernel."""

    cache_path = None

    def __init__(self, name: str) -> None:
        self.name = name

    def load_overload(self, signature, context) -> CompileResult | None:
        """The kernel compiled for these types and this processor, or None."""
        try:
            context.refresh()
            place, key = self._place(signature, context.codegen())
            with open(place, "rb") as file:
                found, compiled = pickle.loads(file.read())
            return CompileResult._rebuild(context, *compiled) if found == key else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as problem:
            _log_once(f"the kernel {self.name} cannot be read from disk ({_told(problem)}): it is compiled again")
            return None

    def save_overload(self, signature, compiled: CompileResult) -> None:
        """Keep it for the next process."""
        try:
            place, key = self._place(signature, compiled.codegen)
            _write(place, dumps((key, compiled._reduce())))
        except Exception as problem:
            _log_once(
                f"the kernels cannot be kept on disk ({_told(problem)}) and are compiled at every start; set "
                "NUMBA_CACHE_DIR to a folder that can be written"
            )

    def _place(self, signature, codegen) -> tuple[Path, str]:
        """The file for this variant, whatever it was compiled from, and the key that it must hold."""
        variant = f"{self.name} {signature} {codegen.magic_tuple()} {sys.version_info[:2]}"
        name = f"{self.name}-{hashlib.sha256(variant.encode()).hexdigest()[:16]}.kernel"
        return folder() / name, f"{variant} {numba.__version__} {sources()}"


def _write(place: Path, content: bytes) -> None:
    """Whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, place)
        except BaseException:
            os.unlink(file.name)
            raise


def _told(problem: Exception) -> str:
    return f"{type(problem).__name__}: {(str(problem).splitlines() or [''])[0]}"


@cache
def _log_once(message: str) -> None:
    log.warning(message)
