"""What a GPU is not to be waited for."""

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """x on the device; from the CPU to a GPU by way of pinned memory, without waiting for the copy."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def recording() -> bool:
    """Whether a CUDA graph is being recorded: nothing may be asked of the GPU, nor drawn or copied by the host."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
