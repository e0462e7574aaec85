"""Compiled kernels on disk, so that they are compiled once and not at every start: one file for each.

Numba's own cache has one index for all variants of a function: two processes that fill it at once can leave the code
of one under the name of the other, and a damaged file ends the program. Here a file is bound to what it was compiled
from and for, is written whole or not at all, and is compiled again if a bit of it is wrong.
"""

import hashlib
import logging
import os
import pickle
import sys
import uuid
from functools import cache
from pathlib import Path

import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

DIGEST = hashlib.sha256().digest_size

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
    """What Numba's dispatcher takes as its cache, for one kernel.

    A file holds the digest of key and code, then the code; one that does not fit is as good as none.
    """

    cache_path = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.sources = sources()  # now, not at the first call: the files may be others by then

    def load_overload(self, signature, context) -> CompileResult | None:
        """The kernel compiled for these types and this processor, or None."""
        try:
            context.refresh()
            place, key = self._place(signature, context.codegen())
            content = place.read_bytes()
            if content[:DIGEST] != _digest(key, content[DIGEST:]):
                return None
            return CompileResult._rebuild(context, *pickle.loads(content[DIGEST:]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as problem:
            _log_once(f"the compiled kernels cannot be read from disk ({_told(problem)}): they are compiled again")
            return None

    def save_overload(self, signature, compiled: CompileResult) -> None:
        """Keep it for the next process."""
        try:
            place, key = self._place(signature, compiled.codegen)
            code = dumps(compiled._reduce())
            _write(place, _digest(key, code) + code)
        except Exception as problem:
            _log_once(
                f"the kernels cannot be kept on disk ({_told(problem)}) and are compiled at every start; set "
                "NUMBA_CACHE_DIR to a folder that can be written"
            )

    def _place(self, signature, codegen) -> tuple[Path, str]:
        """The file for this variant, whatever it was compiled from, and the key that its digest must include."""
        variant = f"{self.name} {signature} {codegen.magic_tuple()} {sys.version_info[:2]}"
        name = f"{self.name}-{hashlib.sha256(variant.encode()).hexdigest()[:16]}.kernel"
        return folder() / name, f"{variant} {numba.__version__} {self.sources}"


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + code).digest()


def _write(place: Path, content: bytes) -> None:
    """Whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_suffix(f".{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _told(problem: Exception) -> str:
    return f"{type(problem).__name__}: {(str(problem).splitlines() or [''])[0]}"


@cache
def _log_once(message: str) -> None:
    log.warning(message)
