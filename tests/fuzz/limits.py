"""Reading one file within bounds of time, memory and open files, and what comes of it."""

import gc
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 5  # of the processor, whatever else it does
MEMORY = 1 << 30  # bytes beyond what the process has
ADDRESSES = 4 << 30  # the same of addresses, which the operating system refuses
MESSAGE = 2000  # characters


class TooLong(BaseException):
    """No Exception, which a reader would turn into something else."""


class Outcome(NamedTuple):
    """What came of a file."""

    kind: str
    """accepted, refused (a ValueError that names the file), or other."""
    what: str
    """Of an other one: the exception, or the bound."""
    seconds: float
    memory: int
    """Bytes at most beyond what the process had."""


def attempt(read: Callable[[Path], Any], path: Path, named: bool = True) -> Outcome:
    """Read a file once; `named`: an error has to name it."""
    files, (_, before), began = open_files(), _held(), time.process_time()
    _forget_peak()
    try:
        with _bounds(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            read(path)
        kind, what = "accepted", ""
    except (ValueError, FileNotFoundError) as error:
        kind, what = _refused(error, path, named)
    except (Exception, TooLong) as error:
        kind, what = "other", f"{type(error).__name__}: {error}"[:300]
    seconds, memory = time.process_time() - began, max(0, _peak() - before)
    if memory > MEMORY:
        kind, what = "other", f"{memory / 1e9:.2f} GB of memory"
    if open_files() > files:
        gc.collect()
        if (left := open_files() - files) > 0:
            kind, what = "other", f"{left} files left open"
    return Outcome(kind, what, seconds, memory)


def _refused(error: Exception, path: Path, named: bool) -> tuple[str, str]:
    text = str(error)
    if named and path.name not in text and not isinstance(error, FileNotFoundError):
        return "other", f"does not name the file: {text[:300]}"
    return ("other", f"a message of {len(text)} characters") if len(text) > MESSAGE else ("refused", "")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _held() -> tuple[int, int]:
    """Bytes of addresses and of memory that the process has."""
    addresses, memory, *_ = Path("/proc/self/statm").read_text().split()
    return int(addresses) * resource.getpagesize(), int(memory) * resource.getpagesize()


def _peak() -> int:
    """Most bytes of memory that it had since they were forgotten."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def _bounds() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooLong(f"more than {SECONDS} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (_held()[0] + ADDRESSES, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 1)  # again, where it came to nothing
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
