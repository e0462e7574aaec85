"""Where the time of large CPU tensors goes that no kernel can win back."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Let malloc keep the memory of freed tensors for the next ones (Linux with glibc); True if it took effect.

    By default glibc maps each tensor above 32 MB anew and gives it back when it is freed, so that every training step
    faults in all its pages again: on a training step of the 1x32x32 model that is a third of the time. The setting
    holds for the process; call it before the first large tensor.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
