"""How much memory there is, and refusing what does not fit into it."""

import resource
from collections.abc import Iterator
from pathlib import Path

LITTLE = 2**24  # bytes, for which nobody looks: that takes a fourth of the time of reading a small image
# In messages of CUDA, of the CPU's allocator and of cuBLAS and cuDNN, which take memory past PyTorch's.
LACKING = "out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED"


def is_lack_of_memory(error: Exception) -> bool:
    """Whether it says that the memory of the CPU or a GPU is full."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in LACKING)
    )


def available() -> int:
    """Bytes of memory that this process may still take, by Linux, its control group and its own limit."""
    return max(0, min([2**62, *_free()]))


def _free() -> Iterator[int]:
    if (soft := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        yield soft - _number("/proc/self/status", "VmSize:") * 1024
    if free := _number("/proc/meminfo", "MemAvailable:"):
        yield free * 1024
    most, now = (_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if most.isdecimal() and now.isdecimal():  # what is held of files is given back when it is needed
        held = sum(_number("/sys/fs/cgroup/memory.stat", f"{kind}_file") for kind in ("active", "inactive"))
        yield int(most) - int(now) + held


def _number(file: str, name: str) -> int:
    """Behind a name at the start of a line; 0 if there is none."""
    lines = (line.split() for line in _text(file).splitlines())
    return next((int(words[1]) for words in lines if words[:1] == [name]), 0)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # no Linux, or not to be seen from here
        return ""


def gigabytes(size: int) -> str:
    """Bytes as they are said: "0.0524 GB", "8,000 GB", "1e+15 GB"."""
    amount = size / 10**9 if size < 10**300 else float("inf")
    if amount < 1000:
        return f"{amount:.3g} GB"
    return f"{amount:,.0f} GB" if amount < 10**9 else f"{amount:.0e} GB"


def check_fits(needed: int, what: str, remedy: str) -> None:
    """Raise a ValueError with both figures if `what` needs more bytes than are free; up to LITTLE always are."""
    if needed > LITTLE and needed > (free := available()):
        raise ValueError(f"{what} needs at least {gigabytes(needed)} of memory, {gigabytes(free)} are free; {remedy}")
