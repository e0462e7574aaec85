"""The files of DVS128 Gesture around its recordings: lists of trials and tables of labels."""

from pathlib import Path

from ...utils.foreign import reading
from .recording import Recording

CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
LABELS_HEADER = "class,startTime_usec,endTime_usec"


def read_trials(path: Path) -> list[Path]:
    """The recordings that a list names, a file name per line; they lie beside the list.

    Raises:
        ValueError: an empty list, or a line that is no .aedat file name.
        FileNotFoundError: a recording or its table of labels is missing.
    """
    with reading(path, "is no list of recordings", "fetch it again"):
        names = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    wrong = [name for name in names if Path(name).name != name or not name.endswith(".aedat")]
    if not names or wrong:
        raise ValueError(
            f"{path} must name an .aedat file per line, found {wrong[0]!r}" if wrong else f"{path} is empty"
        )
    trials = [path.parent / name for name in names]
    files = [file for trial in trials for file in (trial, labels_of(trial))]
    if missing := [file for file in files if not file.is_file()]:
        raise FileNotFoundError(
            f"{missing[0].absolute()}, the first of {len(missing)} missing files of the {len(files)} behind {path.name}"
        )
    return trials


def labels_of(trial: Path) -> Path:
    """The table of labels of a recording: user01_led.aedat -> user01_led_labels.csv."""
    return trial.with_name(f"{trial.stem}_labels.csv")


def read_labels(trial: Path) -> list[Recording]:
    """The gestures of one recording by its table `class,startTime_usec,endTime_usec`, classes counted from 1.

    Their group is the subject, by the file's name: user01_led.aedat is of user01.

    Raises:
        ValueError: a damaged table, a class outside 1..11, or a gesture that ends before it starts.
    """
    path = labels_of(trial)
    with reading(path, "is no table of labels", "fetch it again"):
        lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines()]
    if not lines or lines[0].replace(" ", "") != LABELS_HEADER:
        raise ValueError(f"{path} is no table of labels: expected the first line {LABELS_HEADER!r}, found {lines[:1]}")
    gestures: list[Recording] = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        try:
            label, start, end = map(int, line.split(","))
        except ValueError:
            raise ValueError(f"{path}, line {number}: expected three whole numbers, found {line!r}") from None
        if not 1 <= label <= len(CLASSES):
            raise ValueError(f"{path}, line {number}: the class must be in 1..{len(CLASSES)}, found {label}")
        if not 0 <= start < end:
            raise ValueError(f"{path}, line {number}: expected 0 <= start < end, found {start} and {end}")
        name, subject = f"{trial.name}#{len(gestures)}", trial.stem.partition("_")[0]
        gestures.append(Recording(trial, name, label - 1, start, end, subject))
    if not gestures:
        raise ValueError(f"{path} names no gesture")
    return gestures
