"""Which files below a folder count: none that is hidden or that a system leaves behind, and each once.

One rule for every data set, images and events.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

DEBRIS = {  # what systems and network drives put beside the data, in small letters; names with a dot are hidden anyway
    "@eadir", "@recycle", "@recently-snapshot", "@sharesnap", "@tmp", "#recycle", "#snapshot",  # Synology, QNAP
    "__macosx", "icon\r", "network trash folder", "temporary items",  # macOS: also ._NAME, .DS_Store
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",  # Windows
    "lost+found", "__pycache__",
}  # fmt: skip

HIDDEN = "hidden or of the system"
LINK = "reached again through a link"
UP = "links that lead back up"
LOST = "links to nothing"
SPECIAL = "no regular files"


def is_debris(name: str) -> bool:
    """Whether a file or folder is no data by its name: hidden (`._a.png`, `.DS_Store`) or left by a system."""
    return name.startswith((".", "~$", "SYNOFILE_THUMB_")) or name.lower() in DEBRIS


@dataclass(frozen=True)
class Listing:
    """The files below a folder. Two listings of a folder are equal if nothing has changed in it.

    Attributes:
        files: their paths relative to the folder, sorted.
        passed_over: how many files and folders are not among them, by reason.
        state: SHA-256 over these, and of each file device, inode, size, times of its contents and of its inode.
    """

    files: list[PurePosixPath] = field(compare=False)
    passed_over: Counter[str] = field(compare=False)
    state: bytes


def in_words(passed_over: Counter[str]) -> str:
    """Reasons and how often, the most frequent first: ".txt (3), hidden or of the system (1)"; "" if there are none."""
    return ", ".join(f"{reason} ({n:,})" for reason, n in passed_over.most_common())


def list_files(folder: Path, wanted: Callable[[str], bool]) -> Listing:
    """The files below a folder whose names are wanted, through links too.

    Files and folders are known by device and inode: each counts once, by the first of its sorted paths, those without
    a link before those with one; a folder in which it lies itself is not entered.

    Raises:
        OSError: a folder that cannot be read.
    """
    found = _Walk(wanted, ancestors(folder))
    found.enter(folder, PurePosixPath())
    while found.links:
        links, found.links = sorted(found.links), []
        for relative in links:
            found.follow(folder / relative, relative)
    found.state.update(repr(found.passed_over).encode())
    return Listing(sorted(found.files), found.passed_over, found.state.digest())


Identity = tuple[int, ...]
"""Device and inode."""


def identity(state: os.stat_result) -> Identity:
    """By what a file or folder is known."""
    return state.st_dev, state.st_ino


def ancestors(folder: Path) -> set[Identity]:
    """The folder and all in which it lies."""
    whole = folder.resolve()
    return {identity(one.stat()) for one in (whole, *whole.parents)}


class _Walk:
    def __init__(self, wanted: Callable[[str], bool], above: Iterable[Identity]) -> None:
        self.wanted = wanted
        self.above = frozenset(above)
        self.seen: set[Identity] = set()
        self.files: list[PurePosixPath] = []
        self.links: list[PurePosixPath] = []
        self.passed_over: Counter[str] = Counter()
        self.state = hashlib.sha256()

    def enter(self, folder: Path, relative: PurePosixPath) -> None:
        """Everything in a folder but for its links, which wait."""
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            if is_debris(entry.name):
                self.passed_over[HIDDEN] += 1
            elif entry.is_symlink():
                self.links.append(relative / entry.name)
            else:
                self._take(folder / entry.name, relative / entry.name, entry.stat(), entry.is_dir(), entry.is_file())

    def follow(self, path: Path, relative: PurePosixPath) -> None:
        """What a link leads to."""
        try:
            state = path.stat()
        except OSError:  # gone, or links in a circle
            self.passed_over[LOST] += 1
            return
        if identity(state) in self.above:
            self.passed_over[UP] += 1
        else:
            self._take(path, relative, state, path.is_dir(), path.is_file())

    def _take(self, path: Path, relative: PurePosixPath, state: os.stat_result, is_dir: bool, is_file: bool) -> None:
        if not is_dir and not self.wanted(relative.name):
            self.passed_over[relative.suffix.lower() or "without an extension"] += 1
        elif not (is_dir or is_file):
            self.passed_over[SPECIAL] += 1
        elif state.st_ino and identity(state) in self.seen:  # some network drives number all files 0
            self.passed_over[LINK] += 1
        else:
            self.seen.add(identity(state))
            if is_dir:
                self.enter(path, relative)
            else:
                self.files.append(relative)
                numbers = state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
                self.state.update(os.fsencode(relative) + b"\0" + repr(numbers).encode())
