"""Frames of recordings on disk, so that recordings are read once."""

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from ...utils.atomic import replacing
from ...utils.progress import progress
from .frames import SliceBy, check_slicing, to_frames
from .recording import Recording

FORMAT = 1  # of the entries; another number for other frames of the same recording


class FrameCache:
    """Frames int16 [T, 2, H, W] of recordings, each in a file of its own: little-endian, compressed by zlib.

    The name of an entry is the SHA-256 of everything that went into it: the reader, T, how it was sliced, the sensor,
    and the file's name, size, time of change and part. An entry that cannot be read is made anew. The folder may be
    deleted at any time.

    Args:
        folder: where the entries go.
        read: events of a file.
        T: frames of a recording.
        by: how it is sliced, see `to_frames`.
        size: (H, W) of the sensor.
    """

    def __init__(
        self, folder: Path, read: Callable[[Path], np.ndarray], T: int, by: SliceBy, size: tuple[int, int]
    ) -> None:
        check_slicing(T, by)
        self.folder = folder
        self.read = read
        self.T = T
        self.by = by
        self.size = size

    def entry(self, recording: Recording) -> Path:
        """The file that holds, or will hold, the frames of a recording."""
        file = recording.path.stat()
        settings = [FORMAT, self.read.__name__, self.T, self.by, self.size]
        source = [recording.name, file.st_size, file.st_mtime_ns, recording.start, recording.end]
        return self.folder / f"{hashlib.sha256(json.dumps([*settings, *source]).encode()).hexdigest()}.frames"

    def get(self, recording: Recording) -> np.ndarray:
        """Frames of a recording, int16 [T, 2, H, W].

        Raises:
            ValueError: the recording is damaged or does not make T frames; the message names the file.
            OSError: its frames are to be kept, and the folder cannot be written.
        """
        frames = self._load(self.entry(recording))
        return self._make(recording, self.read(recording.path)) if frames is None else frames

    def fill(self, recordings: Sequence[Recording], title: str) -> None:
        """Make the entries that are missing, with a progress bar; a file of several recordings is read once.

        Raises:
            OSError, ValueError: as `get`.
        """
        missing = [recording for recording in recordings if not self.entry(recording).is_file()]
        if not missing:
            return
        missing.sort(key=lambda recording: recording.path)
        with progress(title, len(missing), "recordings") as bar:
            for path, group in groupby(missing, key=lambda recording: recording.path):
                events = self.read(path)
                for recording in group:
                    self._make(recording, events)
                    bar.advance()

    def _make(self, recording: Recording, events: np.ndarray) -> np.ndarray:
        try:
            frames = to_frames(recording.cut(events), self.T, self.size, self.by)
        except ValueError as error:
            part = "" if recording.start is None else f", {recording.start} to {recording.end} microseconds"
            raise ValueError(f"{recording.path}{part}: {error}") from None
        try:
            with replacing(self.entry(recording)) as temporary:
                temporary.write_bytes(zlib.compress(frames.astype("<i2").tobytes()))
        except OSError as error:
            raise OSError(
                f"frames cannot be kept in {self.folder} ({error}); point --data-root (root=, or cache=) to a folder "
                "that can be written"
            ) from error
        return frames

    def _load(self, entry: Path) -> np.ndarray | None:
        """The frames of an entry; None if it is missing or damaged, which zlib's checksum tells."""
        shape = (self.T, 2, *self.size)
        length = 2 * math.prod(shape)
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(entry.read_bytes(), length + 1)
        except (OSError, zlib.error):
            return None
        whole = unpacker.eof and not unpacker.unused_data and len(data) == length
        return np.frombuffer(data, "<i2").reshape(shape) if whole else None
