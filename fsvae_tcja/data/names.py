"""Names of data sets, folders of images, and their splits."""

import logging
from pathlib import Path

from ..utils.once import warn_once
from ..utils.spelling import did_you_mean
from .events.sources import EVENT_SETS
from .image_sets import IMAGE_SETS
from .shards import means_shards

log = logging.getLogger(__name__)


def warn_of_namesake(name: object) -> None:
    """Tell that a name means a data set where a folder of this name lies in the working folder."""
    if isinstance(name, str) and (name in IMAGE_SETS or name in EVENT_SETS) and Path(name).is_dir():
        warn_once(log, f"{name} means the data set; the folder {Path(name).absolute()} is reached as ./{name}")


def parse_name(text: str) -> tuple[str, str | None]:
    """A data set or a folder with its split: "mnist:test" -> ("mnist", "test"), "photos" -> ("photos", None).

    There is no split where the text has no colon, is a path as it stands, or has neither a data set nor a folder nor
    tar shards before the last colon.
    """
    name, _, split = text.rpartition(":")
    warn_of_namesake(name or text)
    place = name and (Path(name).expanduser().is_dir() or means_shards(name))
    known = name in IMAGE_SETS or name in EVENT_SETS or place
    if known and not Path(text).expanduser().exists():
        return name, split or None
    return text, None


def short_name(name: str) -> str:
    """A data set's name, of a folder the last part of its path: what titles of pictures have room for."""
    return Path(name).name or name


def check_named(name: object) -> None:
    """Refuse an empty name, of which a path would make the working folder.

    Raises:
        ValueError: it is one.
    """
    if isinstance(name, str) and not name.strip():
        raise ValueError("the name of a data set or folder is empty; the working folder is reached as .")


def find_folder(name: str | Path, *, classes: bool = False) -> Path:
    """The folder, or the tar shards, that are meant by a name which is no data set's.

    Args:
        name: a path; a plain word must be that of a folder which is there, or of shards.
        classes: whether data with classes is meant, images or events; else images of any set.

    Raises:
        ValueError: neither a data set nor a folder.
    """
    check_named(name)
    folder = Path(name).expanduser()
    plain = isinstance(name, str) and str(folder) == name == folder.name
    if plain and not folder.exists() and not means_shards(folder):
        images = [one for one, source in IMAGE_SETS.items() if source.labelled or not classes]
        events, also = ([*EVENT_SETS], f", of the event sets {[*EVENT_SETS]},") if classes else ([], "")
        raise ValueError(
            f"unknown data set {name!r}{did_you_mean(folder.name, images + events)}: choose one of {images}{also} or a "
            "folder of images"
        )
    return folder


def located(name: str) -> str:
    """The name of a data set as it is; of a folder or shards the absolute path, found from elsewhere too.

    Raises:
        ValueError: neither.
    """
    warn_of_namesake(name)
    return name if name in IMAGE_SETS or name in EVENT_SETS else str(find_folder(name, classes=True).absolute())
