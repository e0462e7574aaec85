"""Where the time of large CPU tensors goes that no kernel can win back: the kernel of Linux hands out their pages.

By default glibc maps each tensor above 32 MB anew and gives it back when it is freed, so that every training step
faults in all its pages again, 4 kB at a time: on a training step of the 1x32x32 model that is a third of the time.
Both settings hold for the process.
"""

import ctypes
import os
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_PROBE = 48 << 20, 8 << 20  # bytes: above what malloc could hold back; of which this many are touched


def use_huge_pages() -> bool:
    """Let PyTorch ask for pages of 2 MB (Linux); True if it took effect.

    As fast as `keep_freed_memory`, and a process is no larger than its tensors. PyTorch reads the setting once: call
    this before the first tensor.
    """
    if not sys.platform.startswith("linux"):
        return False
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    probe = torch.empty(_PROBE[0], dtype=torch.uint8)
    before = _faults()
    probe[: _PROBE[1]].zero_()
    return _faults() - before < _PROBE[1] >> 14  # with pages of 4 kB four times as many


def _faults() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def keep_freed_memory() -> bool:
    """Let malloc keep the memory of freed tensors for the next ones (Linux with glibc); True if it took effect.

    The holes between the tensors that are alive stay with the process, a seventh of a training step's memory. Call it
    before the first large tensor.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
