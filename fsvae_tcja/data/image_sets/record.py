"""What an image set is: where its files lie, and how they are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dataset import LabelledDataset

Load = Callable[[str, int | None, list[Path]], LabelledDataset]
"""(split, size in pixels or None for that of the images, the files of the split) -> the split."""


@dataclass(frozen=True)
class ImageSet:
    """An image set that is known by name.

    Args:
        load: reads a split from its files.
        splits: the splits, and the files that each needs, by their paths below the data root. A .gz may be unpacked.
        about: what it shows, for lists.
        labelled: whether every image has a class.
        download: fetches the files into a data root; None: nothing does.
        remedy: where else the files come from, a sentence.
        elsewhere: folders in which the files may lie too, without their path.
        sha256: of the unzipped contents of the files, where it is known.
        check: looks at all files, by what lies there, and raises ValueError or OSError for what is wrong.
        training: images of the split "train", where the number is known beforehand.
    """

    load: Load
    splits: Mapping[str, Sequence[str]]
    about: str = ""
    labelled: bool = True
    download: Callable[[Path], object] | None = None
    remedy: str = ""
    elsewhere: tuple[Path, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[list[Path]], None] | None = None
    training: int = 0

    @property
    def files(self) -> list[str]:
        """The files of all splits."""
        return list(dict.fromkeys(file for files in self.splits.values() for file in files))

    def find(self, file: str, root: Path) -> Path | None:
        """Where a file lies: below the data root, else in a folder elsewhere; None: nowhere."""
        places = [root / file, *(folder / Path(file).name for folder in self.elsewhere)]
        found = (path for place in places for path in _as_it_is_or_unpacked(place) if path.exists())
        return next(found, None)

    def missing(self, files: Sequence[str], root: Path) -> list[Path]:
        """Those of the files that are not there, as paths below the data root."""
        return [(root / file).absolute() for file in files if self.find(file, root) is None]

    def fetch(self, name: str, split: str, root: Path, download: bool = False) -> list[Path]:
        """The files of a split, downloaded if some are missing and that is allowed.

        Raises:
            FileNotFoundError: some are missing; the message names them.
            OSError: the download failed.
        """
        files = self.splits[split]
        if download and self.download and self.missing(files, root):
            try:
                self.download(root)
            except Exception as error:  # torchvision raises RuntimeError, HTTPError, URLError, ...
                absent = _list(self.missing(files, root))
                raise OSError(f"{name}: the download failed ({error}); fetch the files by hand:\n{absent}") from error
        if missing := self.missing(files, root):
            ways = ["Put them there", "point --data-root (root=) or $FSVAE_TCJA_DATA to the folder that has them"]
            ways += ["fetch them with --download (download=True)"] if self.download else []
            raise FileNotFoundError(
                f"{name}: missing\n{_list(missing)}\n{', or '.join(ways)}.{self.remedy and ' ' + self.remedy}"
            )
        return [path for file in files if (path := self.find(file, root))]


def _list(paths: Sequence[Path]) -> str:
    return "\n".join(f"  {path}" for path in paths)


def _as_it_is_or_unpacked(path: Path) -> list[Path]:
    return [path, path.with_suffix("")] if path.suffix == ".gz" else [path]
