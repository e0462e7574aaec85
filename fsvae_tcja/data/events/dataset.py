"""A data set of recordings as frames."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .cache import FrameCache
from .recording import Recording
from .splits import split_hash


class EventFrames(Dataset):
    """Recordings as frames of event counts, with labels. The cache must have been filled.

    `dataset[i] -> (frames int16 [T, 2, H, W], int)`, `dataset.__getitems__(indices) -> (int16 [B, T, 2, H, W], int64
    [B])`. Channel 0 counts darker, channel 1 brighter.

    Attributes:
        name: of the data set.
        split: "train", "valid" or "test".
        channels: 2.
        size: (H, W) of the sensor, in pixels.
        steps: T.
        classes: number of classes.
        class_names: their names.
        labels: int64 [len].
        split_hash: 16 digits that tell this split from others.
        workers: loader processes that pay.
    """

    channels = 2
    workers = min(4, (os.cpu_count() or 1) - 1)

    def __init__(
        self, name: str, split: str, recordings: Sequence[Recording], class_names: Sequence[str], cache: FrameCache
    ) -> None:
        self.name = name
        self.split = split
        self.recordings = list(recordings)
        self.class_names = tuple(class_names)
        self.cache = cache
        self.classes = len(self.class_names)
        self.size = cache.size
        self.steps = cache.T
        self.labels = torch.tensor([recording.label for recording in recordings], dtype=torch.int64)
        self.split_hash = split_hash(recording.name for recording in recordings)

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        frames, labels = self.__getitems__([index])
        return frames[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        frames = np.stack([self.cache.get(self.recordings[i]) for i in indices])
        return torch.from_numpy(frames), self.labels[indices]

    def __repr__(self) -> str:
        shape = f"{self.steps} frames of {self.channels} x {self.size[0]} x {self.size[1]}"
        return f"EventFrames({self.name}, {self.split}: {len(self)} recordings, {shape})"
