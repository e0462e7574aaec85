"""The test split of the data sets that come without one."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..copies import equal_files
from ..splits import held_out, whole_groups
from .recording import Recording

TEST_FRACTION = 0.1
SEED = 0


def same_contents(recordings: Sequence[Recording]) -> list[int]:
    """For each recording the number of the first one with the same events: the same part of the same bytes.

    Raises:
        OSError: a file that cannot be read.
    """
    paths = sorted({recording.path for recording in recordings})
    first = dict(zip(paths, equal_files(paths), strict=True))
    numbers: dict[tuple[int, int | None, int | None], int] = {}
    return [numbers.setdefault((first[r.path], r.start, r.end), i) for i, r in enumerate(recordings)]


def nine_to_one(
    recordings: Sequence[Recording], contents: Sequence[int] | None = None
) -> tuple[list[Recording], list[Recording]]:
    """Split 9:1, class by class.

    The rule, for anyone who wants the same split: of a class with n recordings, the floor(n / 10) (at least one) whose
    SHA-256 of "0/NAME" is smallest are the test split. NAME is the path below the folder of the data set, with "/".
    Copies within a class stay together: see `whole_groups`.

    Args:
        recordings: of all classes.
        contents: of each, equal for copies; None: all differ.

    Returns:
        (train, test), each in the order of `recordings`.
    """
    classes = defaultdict(list)
    for recording in recordings:
        classes[recording.label].append(recording)
    numbers = dict(zip(recordings, contents or range(len(recordings)), strict=True))
    test = set()
    for members in classes.values():
        members.sort(key=lambda recording: _sha256(f"{SEED}/{recording.name}"))
        chosen = whole_groups([numbers[one] for one in members], held_out(len(members), TEST_FRACTION))
        test |= {one for one, is_chosen in zip(members, chosen, strict=True) if is_chosen}
    return [r for r in recordings if r not in test], [r for r in recordings if r in test]


def split_hash(names: Iterable[str]) -> str:
    """16 hexadecimal digits that tell splits apart: of the SHA-256 of the sorted names, a line each."""
    return _sha256("".join(f"{name}\n" for name in sorted(names)))[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
