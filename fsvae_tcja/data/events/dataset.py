"""A data set of recordings as frames."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...utils.cpus import spare_cpus
from ..dataset import LabelledDataset
from .cache import FrameCache
from .recording import Recording
from .splits import split_hash


class EventFrames(LabelledDataset):
    """Recordings as T frames of event counts, int16 [T, 2, H, W], with labels; read from a cache that was filled.

    Channel 0 counts darker, channel 1 brighter. `split_hash`: 16 digits that tell this split from others, by the names
    of its recordings.
    """

    workers = min(4, spare_cpus())
    published = True

    def __init__(
        self,
        name: str,
        split: str,
        recordings: Sequence[Recording],
        class_names: Sequence[str],
        cache: FrameCache,
        directed: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        labels = torch.tensor([recording.label for recording in recordings], dtype=torch.int64)
        super().__init__(name, split, (2, *cache.size), labels, len(class_names), class_names)
        self.recordings = list(recordings)
        self.cache = cache
        self.T = cache.T
        self.directed = directed
        self.notes = tuple(notes)
        self.split_hash = split_hash(recording.name for recording in recordings)

    def load(self, indices: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.stack([self.cache.get(self.recordings[i]) for i in indices]))

    def digests(self, indices: Sequence[int]) -> Iterator[bytes]:
        """SHA-256 of these recordings as they lie in their files."""
        for i in indices:
            yield bytes.fromhex(self.cache.digest(self.recordings[i]))
