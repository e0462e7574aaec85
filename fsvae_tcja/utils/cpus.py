"""The CPUs that this process may use, which are often fewer than the machine has."""

import os
from math import ceil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpus() -> int:
    """Those of its affinity (`taskset`, a batch system), at most the quota of its container, rounded up; at least 1."""
    return max(1, min(_affinity(), ceil(_quota() or _affinity())))


def spare_cpus() -> int:
    """CPUs for processes that read ahead: those of this process, which shares `cpus` with the others that torchrun
    started on the machine, but for the one that it computes on. May be 0."""
    return max(0, cpus() // int(os.environ.get("LOCAL_WORLD_SIZE") or 1) - 1)


def tell_quota() -> None:
    """Tell OpenMP of the quota, as $OMP_NUM_THREADS, before it is loaded: it looks at the affinity alone."""
    if cpus() < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cpus()))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota() -> float | None:
    """CPU seconds a second that the container gets (`docker run --cpus 1.5`), by cgroup v2 or v1; None: any number."""
    try:
        if (CGROUP / "cpu.max").is_file():
            quota, period = (CGROUP / "cpu.max").read_text().split()
        else:
            quota, period = ((CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        seconds = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no Linux, no limit ("max"), or nothing that is understood
        return None
    return seconds if seconds > 0 else None  # v1 says -1 for no limit
