"""Frames of recordings on disk, so that recordings are read once."""

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np

from ...utils.atomic import replacing
from ...utils.cpus import cpus
from ...utils.digest import file_sha256
from ...utils.foreign import reading
from ...utils.progress import progress
from .clock import placed
from .frames import SliceBy, check_slicing, to_frames
from .recording import Recording

FORMAT = 2  # of the entries; another number for other frames of the same recording


class FrameCache:
    """Frames int16 [T, 2, H, W] of recordings, each in a file of its own: little-endian, compressed by zlib.

    The name of an entry is the SHA-256 of everything that went into it: the contents of the recording's file and the
    part of it, the reader, T, how it was sliced, and the sensor; names, places and times of change do not matter. An
    entry is whole or not there, also while others write the same one, and one that cannot be read is made anew. Beside
    it lies NAME.left-out where events were left out, with their number and that of all. The folder may be deleted at
    any time.

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
        self._digests: dict[Path, bytes] = {}

    def digest(self, recording: Recording) -> str:
        """SHA-256 of the contents of a recording, in hexadecimal digits: of its file, and where the part lies in it."""
        if recording.path not in self._digests:
            self._digests[recording.path] = file_sha256(recording.path)
        content = [self._digests[recording.path].hex(), recording.start, recording.end]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def entry(self, recording: Recording) -> Path:
        """The file that holds, or will hold, the frames of a recording."""
        reader = [self.read.__module__, self.read.__qualname__]
        settings = [FORMAT, *reader, self.T, self.by, self.size, self.digest(recording)]
        return self.folder / f"{hashlib.sha256(json.dumps(settings).encode()).hexdigest()}.frames"

    def get(self, recording: Recording) -> np.ndarray:
        """Frames of a recording, int16 [T, 2, H, W].

        Raises:
            ValueError: the recording is damaged, does not make T frames or has changed; the message names the file.
            OSError: its frames are to be kept, and the folder cannot be written.
        """
        frames = self._load(self.entry(recording))
        return self._make(recording, self._read(recording.path)) if frames is None else frames

    def fill(self, recordings: Sequence[Recording], title: str) -> None:
        """Make the entries that are missing, with a progress bar; a file of several recordings is read once.

        Args:
            recordings: whose frames are wanted.
            title: whose they are, such as "nmnist, test".

        Raises:
            OSError, ValueError: as `get`.
        """
        self._look_at({recording.path for recording in recordings}, title)
        missing = [recording for recording in recordings if not self.entry(recording).is_file()]
        if not missing:
            return
        missing.sort(key=lambda recording: recording.path)
        with progress(f"{title}: reading", len(missing), "recordings") as bar:
            for path, group in groupby(missing, key=lambda recording: recording.path):
                events = self._read(path)
                for recording in group:
                    self._make(recording, events)
                    bar.advance()

    def left_out(self, recordings: Sequence[Recording]) -> dict[str, tuple[int, int]]:
        """How many events of how many were left out, by the recording's name; of those alone of which some were."""
        found = {path.stem: path for path in self.folder.glob("*.left-out")}
        names = {recording.name: self.entry(recording).stem for recording in recordings} if found else {}
        with reading(self.folder, "holds damaged counts of what was left out", "delete that folder"):
            counts = {name: found[entry].read_text().split() for name, entry in names.items() if entry in found}
            return {name: (int(n), int(whole)) for name, (n, whole) in counts.items()}

    def _look_at(self, paths: Iterable[Path], title: str) -> None:
        """Find out what is in these files."""
        new = sorted(path for path in paths if path not in self._digests)
        with progress(f"{title}: looking at", len(new), "files") as bar, ThreadPoolExecutor(cpus()) as pool:
            for path, digest in zip(new, pool.map(file_sha256, new), strict=True):
                self._digests[path] = digest
                bar.advance()

    def _read(self, path: Path) -> np.ndarray:
        events = self.read(path)
        if file_sha256(path) != self._digests[path]:
            raise ValueError(f"{path} has changed while it was in use; start again")
        return events

    def _make(self, recording: Recording, events: np.ndarray) -> np.ndarray:
        whole = recording.cut(events)
        try:
            kept = placed(whole, self.by)
            frames = to_frames(kept, self.T, self.size, self.by)
        except ValueError as error:
            part = "" if recording.start is None else f", {recording.start} to {recording.end} microseconds"
            raise ValueError(f"{recording.path}{part}: {error}") from None
        entry = self.entry(recording)
        try:
            if len(kept) < len(whole):
                with replacing(entry.with_suffix(".left-out"), durable=False) as temporary:
                    temporary.write_text(f"{len(whole) - len(kept)} {len(whole)}\n")
            with replacing(entry, durable=False) as temporary:
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
