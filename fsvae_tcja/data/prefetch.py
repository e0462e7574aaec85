"""Batches on their way to the device while the one before is worked on."""

from collections.abc import Iterator

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device. To a GPU the next one is copied from pinned memory, by a stream of its own, while the
    caller works on this one; nobody waits for a copy."""
    if device.type != "cuda":
        yield from ((x.to(device), labels.to(device)) for x, labels in batches)
        return
    copies = torch.cuda.Stream(device)
    sent = _sent(next(batches, None), copies)
    while sent is not None:
        work = torch.cuda.current_stream(device)
        work.wait_stream(copies)
        for x in sent:
            x.record_stream(work)  # its memory is free again after what the caller launches
        batch = sent
        sent = _sent(next(batches, None), copies)
        yield batch


def _sent(batch: Batch | None, copies: torch.cuda.Stream) -> Batch | None:
    """A batch whose copy is under way."""
    if batch is None:
        return None
    with torch.cuda.stream(copies):
        x, labels = (x.pin_memory().to(copies.device, non_blocking=True) for x in batch)
    return x, labels
