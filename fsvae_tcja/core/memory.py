"""Where the time of large CPU tensors goes that no kernel can win back: the kernel of Linux hands out their pages.

By default glibc maps each tensor above 32 MB anew and gives it back when it is freed, so that every training step
faults in all its pages again, 4 kB at a time. docs/RESULTS.md has what that costs.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Let malloc keep the memory of freed tensors for the next ones (Linux with glibc); True if it took effect.

    For the whole process. The holes between the tensors that are alive stay with it, so call it after one training
    step, when what lives long has its place: before the first, the optimizer's state breaks up the largest holes.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
