"""What was found in a place that holds images, be it a folder or tar shards, and how it is told."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ..utils.once import warn_once
from ..utils.printable import shown
from .dataset import LabelledDataset
from .layout import Layout, split_named
from .plausible import darkness

log = logging.getLogger(__name__)
BESIDE = "images beside the folders of the splits"
Files = TypeVar("Files", bound=Sized)


@dataclass(frozen=True)
class Contents(Generic[Files]):
    """Images with splits and classes.

    Attributes:
        folder: the absolute path of the place.
        layout: of its folders.
        files: the images of each split; "all" is every one.
        class_names: empty: no labels.
        channels: 1 if every image is grey, else 3.
        sizes_of: of the images of each split, (width, height) in pixels, turned as EXIF says, and how many have it.
        wide: whether some image has levels of 16 bits or of floating point.
        understood: splits, classes and their sizes, a line.
        notes: what was passed over and converted, and which images are copies; a line each.
    """

    folder: Path
    layout: Layout
    files: dict[str, Files]
    class_names: list[str]
    channels: int
    sizes_of: dict[str, Counter[tuple[int, int]]]
    wide: bool
    understood: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return self.sizes.total()

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """`sizes_of` all images."""
        return self.sizes_of["all"]

    @property
    def is_split(self) -> bool:
        """Whether its folders are splits."""
        return bool(self.layout.folders)

    @property
    def size(self) -> int:
        """Height and width of the images, in pixels.

        Raises:
            ValueError: they are not square, or not of one size.
        """
        (width, height), _ = self.sizes.most_common(1)[0]
        if width != height or len(self.sizes) > 1:
            found = ", ".join(f"{w} x {h}" for w, h in list(self.sizes)[:3])
            raise ValueError(
                f"the images in {shown(self.folder)} are not all square and of one size: found {found}"
                f"{', ...' * (len(self.sizes) > 3)} pixels; say to which size to bring them with --size (size=)"
            )
        return width

    def of(self, split: str) -> tuple[str, Files]:
        """A split by one of its names, "val" too: its own name, and its images.

        Raises:
            ValueError: there is none, or no image in it.
        """
        split = split_named(split) or split
        if split not in self.files or not len(self.files[split]):
            raise ValueError(self._no_split(split))
        return split, self.files[split]

    def tell(self, data: LabelledDataset) -> None:
        """Keep in the notes of a split what was understood, passed over and converted, and tell it, a line each."""
        guessed = data.split != "all" or self.layout.folders
        notes = (self.understood if guessed else "", *self.notes, self._resized(data.size), darkness(data, self.wide))
        data.notes = tuple(note for note in notes if note)
        for note in data.notes:
            warn_once(log, note)

    def _resized(self, size: int) -> str:
        """How the images are brought to a size, in words; "" if they have it."""
        (most, _), *others = self.sizes.most_common()
        if most == (size, size) and not others:
            return ""
        more = f" and {len(others):,} other size{'s' * (len(others) > 1)}" if others else ""
        sizes = f"{most[0]} x {most[1]} pixels{more}"
        cut = ", the central square" if any(width != height for width, height in self.sizes) else ""
        return f"{shown(self.folder)}: from {sizes} to {size} x {size}, PIL bilinear{cut}"

    def _no_split(self, split: str) -> str:
        """Why there is no image for a split, and what to do."""
        hint = '; "valid" is a part of train: say which with validation=0.1' if split == "valid" else ""
        known = ", ".join(name for name, files in self.files.items() if len(files))
        if not self.layout.folders and split not in self.files:
            return f"unknown split {split!r}: a folder has the splits train, test and all{hint}"
        return f"no image for the split {split!r} in {self.understood}; it has {known}{hint}"


def understood(layout: Layout, splits: Mapping[str, Sized], classes: Sequence[str]) -> str:
    """Splits, classes and counts, in words."""
    own = layout.folders
    parts = ", ".join(f"{split} {len(splits[split]):,} ({shown(top)}/)" for split, top in own.items())
    parts = f"splits {parts}" if own else f"{len(splits['all']):,} images, no folders of splits (train/, test/)"
    names = ", ".join(shown(name) for name in classes[:5]) + ", ..." * (len(classes) > 5)
    labels = f"{len(classes)} class{'es' * (len(classes) > 1)} ({names})" if classes else "no classes"
    return f"{parts}; {labels}{_test_split(own, splits)}"


def _test_split(own: Mapping[str, str], splits: Mapping[str, Sized]) -> str:
    """What stands in for a test split that has no folder of its own."""
    if "test" in own:
        return ""
    if "valid" in own:
        return f"; no test/: {shown(own['valid'])}/ is the test split"
    return f"; the test split is {len(splits['test']):,} of the images, by the SHA-256 of their paths"


def all_splits(own: dict[str, Files], cut: Callable[[], dict[str, Files]], everything: Files) -> dict[str, Files]:
    """The images of each split, "all" among them.

    Args:
        own: those that have a folder. Without test/ the images of val/ are the test split.
        cut: makes "train" and "test" where no folder says what is tested on.
        everything: all images.
    """
    if "valid" in own and "test" not in own:
        own = own | {"test": own["valid"]}
    elif not own.keys() - {"train"}:
        own = cut()
    return own | {"all": everything}


def copied(layout: Layout, first: Mapping[str, Sequence[int]]) -> str:
    """How many images are copies, and on which side of a split; "" if none is.

    Args:
        layout: of the folders.
        first: for each image of each split the number of the first equal one.
    """
    copies = len(first["all"]) - len({*first["all"]})
    if not copies:
        return ""
    found = f"copies of other images: {copies:,}"
    if not layout.folders.keys() - {"train"}:
        return f"{found}; they stay on one side of a split"
    seen = {*first.get("train", ())}
    both = sum(one in seen for split in ("valid", "test") if split in layout.folders for one in first[split])
    return f"{found}; outside of train, but also in it: {both:,}"


def strange_classes(of_train: Sequence[int], of_all: Sequence[int], classes: Sequence[str]) -> str:
    """The classes that the training split lacks, in words; "" if it has classes and lacks none.

    Args:
        of_train, of_all: the labels of the training split, and of all images; -1: none.
        classes: what they are called.
    """
    known = {*of_train} - {-1}
    images = [label for label in of_all if label != -1 and label not in known]
    if not known or not images:
        return ""
    found = sorted({*images})
    names = ", ".join(shown(classes[label]) for label in found[:5]) + ", ..." * (len(found) > 5)
    return f"classes that train does not have: {len(found):,} ({names}), of {len(images):,} images"
