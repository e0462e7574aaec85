"""Which shards a name means: those in a folder, one .tar, or a pattern such as train-{000000..000009}.tar."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ...utils.printable import shown
from ..image_file import is_image
from ..layout import split_named
from ..listing import ancestors, identity, is_debris, list_files
from .keep import SUFFIX
from .tar import compressed

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4", ".tar.z")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST = 10**6  # shards of a pattern


class Shard(NamedTuple):
    """A shard.

    Attributes:
        path: of the file.
        above: the folders in which it lies: a split, a class, both, or neither.
        split: the word in its name that says a split which these do not say; "": none.
    """

    path: Path
    above: tuple[str, ...]
    split: str


def means_shards(name: str | Path) -> bool:
    """Whether a name is that of tar shards: a .tar, a pattern of some, or a folder that holds some and no image."""
    place = Path(name).expanduser()
    return _holds_shards(place) if place.is_dir() else _is_tar(place.name)


def find_shards(place: Path) -> tuple[list[Shard], Counter[str]]:
    """The shards that a name means, by their paths, and what was passed over.

    Folders below `place` mean what folders of images mean. A word of the file's name may say the split: "train" in
    train-000000.tar, mnist-train-000000.tar and train2017.tar.

    Raises:
        FileNotFoundError: a shard of a pattern is not there.
        ValueError: one is compressed, or its name has the words of two splits; the message names it.
    """
    passed_over: Counter[str] = Counter()
    if place.is_dir():
        listing = list_files(place, _is_tar)
        paths = [(place / relative, relative.parts[:-1]) for relative in listing.files]
        passed_over += listing.passed_over
        del passed_over[SUFFIX]
    else:
        paths = [(Path(path), ()) for path in _expanded(str(place))]
    for path, _ in paths:
        if not path.is_file():
            raise FileNotFoundError(f"there is no shard {shown(path)}")
        if path.name.lower().endswith(COMPRESSED):
            raise compressed(path)
    return [Shard(path, above, _split_in(path, above)) for path, above in paths], passed_over


def _is_tar(name: str) -> bool:
    return name.lower().endswith((".tar", *COMPRESSED))


def _holds_shards(folder: Path) -> bool:
    """Looks no further than the first image."""
    found, folders, seen = False, [folder], ancestors(folder)
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if is_debris(entry.name):
                    continue
                if entry.is_dir():
                    if (inner := identity(entry.stat())) not in seen:
                        seen.add(inner)
                        folders.append(Path(entry.path))
                elif is_image(entry.name):
                    return False
                found = found or (_is_tar(entry.name) and entry.is_file())
    return found


def _expanded(pattern: str) -> list[str]:
    """The names of a pattern, with as many digits as it has: "{08..10}" -> 08, 09, 10."""
    if (numbers := RANGE.search(pattern)) is None:
        return [pattern]
    first, last = int(numbers[1]), int(numbers[2])
    if not first <= last < first + MOST:
        raise ValueError(f"{numbers[0]} in {shown(pattern)} is no range of shards; expected such as {{000000..000009}}")
    before, after = pattern[: numbers.start()], pattern[numbers.end() :]
    return [f"{before}{i:0{len(numbers[1])}}{rest}" for i in range(first, last + 1) for rest in _expanded(after)]


def _split_in(path: Path, above: tuple[str, ...]) -> str:
    """The word in a shard's name that says a split which the folders above it do not say; "": none."""
    words = [word.lower().removesuffix("set") for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", path.name)]
    found = {split: word for word in words if (split := split_named(word)) is not None}
    if len(found) > 1:
        raise ValueError(f"the name of {shown(path)} has the splits {', '.join(found)}; expected one at most")
    known = {split_named(folder) for folder in above}
    return next((word for split, word in found.items() if split not in known), "")
