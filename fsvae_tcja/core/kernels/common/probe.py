"""One tiny launch, which needs all that a real one does: a GPU, a driver, Triton, and a C compiler for its launcher."""

import torch
import triton
import triton.language as tl


@triton.jit
def _one(out):
    tl.store(out, 1.0)


def launch() -> None:
    """Launch a kernel on the current GPU; raises whatever is wrong."""
    _one[(1,)](torch.empty(1, device="cuda"))
