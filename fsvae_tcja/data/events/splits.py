"""The test split of the data sets that come without one."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..splits import held_out
from .recording import Recording

TEST_FRACTION = 0.1
SEED = 0


def nine_to_one(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording]]:
    """Split 9:1, class by class.

    The rule, for anyone who wants the same split: of a class with n recordings, the floor(n / 10) (at least one) whose
    SHA-256 of "0/NAME" is smallest are the test split. NAME is the path below the folder of the data set, with "/".

    Returns:
        (train, test), each in the order of `recordings`.
    """
    classes = defaultdict(list)
    for recording in recordings:
        classes[recording.label].append(recording)
    test = set()
    for members in classes.values():
        members.sort(key=lambda recording: _sha256(f"{SEED}/{recording.name}"))
        test |= set(members[: held_out(len(members), TEST_FRACTION)])
    return [r for r in recordings if r not in test], [r for r in recordings if r in test]


def split_hash(names: Iterable[str]) -> str:
    """16 hexadecimal digits that tell splits apart: of the SHA-256 of the sorted names, a line each."""
    return _sha256("".join(f"{name}\n" for name in sorted(names)))[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
