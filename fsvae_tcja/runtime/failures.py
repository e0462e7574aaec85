"""What can go wrong in a training besides wrong input, in one line each: the disk, the memory, a lost process."""

from ..utils.memory import is_lack_of_memory


def explained(error: Exception, step: int, saved: str) -> Exception:
    """The error as its user is told of it; another one as it is.

    Args:
        error: what was raised.
        step: steps done when it was.
        saved: what is left to go on from.
    """
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return OSError(f"{_plain(error)}; {saved}")
    if is_lack_of_memory(error):
        line = (str(error) or "MemoryError").splitlines()[0]
        return OSError(
            f"out of memory in step {step + 1}: {line}; {saved}. A smaller --batch-size needs less, so do --accumulate "
            "and --save-memory"
        )
    return error


def _plain(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.strerror and error.filename else error.strerror or str(error)
