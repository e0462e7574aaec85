"""Indices of shards in files: made once, and kept while they are those of their shards."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from safetensors import safe_open
from safetensors.numpy import save

from ...utils.atomic import replacing
from ...utils.digest import file_sha256
from ...utils.once import warn_once
from ...utils.printable import shown
from ...utils.progress import progress
from ..listing import in_words
from ..root import data_root
from .index import ShardIndex, make_index

FORMAT = 1  # another number for another reading of names, labels or headers
SUFFIX = ".index"
ARRAYS = {"offset": "i8", "size": "i8", "pixels": "i4", "kind": "i4", "label": "i4", "sha256": "u1", "name_end": "i8"}
ARRAYS |= {"names": "u1"}
MAKER = [FORMAT, PIL.__version__]  # Pillow says which files are images, and what their headers say
log = logging.getLogger(__name__)

State = tuple[int, int]
"""Size in bytes and time of change in ns of a shard: what says quickly that it is still the same."""


@dataclass(frozen=True)
class Kept:
    """An index in a file."""

    index: ShardIndex
    state: State
    sha256: str
    """Of the whole shard, in hexadecimal digits."""


def state_of(shard: Path) -> State:
    """What says quickly whether a shard is still the same."""
    found = shard.stat()
    return found.st_size, found.st_mtime_ns


def indices_of(shards: Sequence[Path], root: str | Path | None) -> list[ShardIndex]:
    """The index of each shard, from the file NAME.tar.index beside it, else from .cache/shards below the data root.

    An index is that of its shard if size and time of change are those that it was made from, or else the SHA-256 of the
    whole shard is. Others are made anew, which is told in a line, and written beside the shard, or below the data root
    where that cannot be.

    Raises:
        ValueError: a shard that cannot be read; the message names it.
    """
    reasons: Counter[str] = Counter()
    indices = []
    with progress("shards: looking at", len(shards), "shards") as bar:
        for shard in shards:
            places = _places(shard, root)
            kept = _kept(shard, places, reasons)
            indices.append(_made(shard, places) if kept is None else kept)
            bar.advance()
    if again := reasons.total():
        where = shown(Path(os.path.commonpath([shard.parent for shard in shards])))
        warn_once(log, f"{where}: {again:,} of {len(shards):,} indices of shards made anew: {in_words(reasons)}")
    return indices


def _places(shard: Path, root: str | Path | None) -> list[Path]:
    """Where the index of a shard may lie."""
    path = hashlib.sha256(os.fsencode(shard.resolve())).hexdigest()
    below = data_root(root) / ".cache" / "shards" / f"{path[:32]}{SUFFIX}"
    return [shard.with_name(shard.name + SUFFIX), below]


def _kept(shard: Path, places: Sequence[Path], reasons: Counter[str]) -> ShardIndex | None:
    """The index of a shard, if a file holds it."""
    there = [place for place in places if place.is_file()]
    found = [kept for place in there if (kept := read_index(place)) is not None]
    state = state_of(shard)
    for kept in found:
        if kept.state == state:
            return kept.index
    sha256 = file_sha256(shard).hex() if any(kept.state[0] == state[0] for kept in found) else ""
    for kept in found:
        if kept.sha256 == sha256:
            _write(replace(kept, state=state), places)
            return kept.index
    if there:
        reasons["of other contents" if found else "damaged, or of another version"] += 1
    return None


def _made(shard: Path, places: Sequence[Path]) -> ShardIndex:
    before = state_of(shard)
    sha256, index = file_sha256(shard).hex(), make_index(shard)
    if state_of(shard) != before:
        raise ValueError(f"{shown(shard)} was written to while it was read; wait until it is complete")
    _write(Kept(index, before, sha256), places)
    return index


def _write(kept: Kept, places: Sequence[Path]) -> None:
    """Into the first place that can be written."""
    index, error = kept.index, None
    said: dict[str, Any] = {"made by": MAKER, "state": kept.state, "sha256": kept.sha256}
    said |= {"kinds": index.kinds, "labels": index.labels, "passed over": dict(index.passed_over)}
    arrays = {name: np.ascontiguousarray(getattr(index, name)) for name in ARRAYS}
    for place in places:
        try:
            with replacing(place, durable=False) as temporary:
                temporary.write_bytes(save(arrays, {"index": json.dumps(said)}))
            return
        except OSError as refused:
            error = refused
    warn_once(log, f"indices of shards are made every time, since they cannot be kept: {error}; give a --data-root")


def read_index(file: Path) -> Kept | None:
    """What `indices_of` has written; None: it is damaged, or was written by another version."""
    try:
        with safe_open(file, "np") as stored:
            said = json.loads(stored.metadata()["index"])
            arrays = {name: stored.get_tensor(name) for name in ARRAYS}
        if said["made by"] != MAKER:
            return None
        return _checked(said, arrays)
    except Exception:  # of safetensors, JSON, or what is not as it should be
        return None


def _checked(said: Any, arrays: dict[str, np.ndarray]) -> Kept:
    """What was read, if `_write` can have written it; else any exception."""
    size, time = map(int, said["state"])
    kinds = [(bool(grey), tuple(map(str, conversions))) for grey, conversions in said["kinds"]]
    labels = [str(label) for label in said["labels"]]
    passed_over = Counter({str(reason): int(n) for reason, n in said["passed over"].items()})
    index = ShardIndex(**arrays, kinds=kinds, labels=labels, passed_over=passed_over)
    n = len(index)
    shapes = dict.fromkeys(ARRAYS, (n,)) | {"pixels": (n, 2), "sha256": (n, 32), "names": (len(index.names),)}
    for name, dtype in ARRAYS.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shapes[name]:
            raise ValueError(name)
    ends = np.concatenate(([0], index.name_end, [len(index.names)]))
    sound = (
        (index.offset >= 0).all()
        and (index.size > 0).all()
        and (index.size <= size - index.offset).all()
        and (index.pixels > 0).all()
        and ((index.kind >= 0) & (index.kind < len(kinds))).all()
        and ((index.label >= -1) & (index.label < len(labels))).all()
        and (np.diff(ends) >= 0).all()
        and ends[-2] == ends[-1]
    )
    if not sound:
        raise ValueError("numbers")
    return Kept(index, (size, time), str(said["sha256"]))
