"""What stands beside a score: that of as many real images, its floor, and that of a model's reconstructions of these.

floor -> reconstructions is the decoder's share of a score, reconstructions -> samples the prior's.
"""

from collections.abc import Callable
from typing import Any

from .protocols import Recipe
from .reference import Reference
from .setting import Beside, Setting, Task
from .sources import Parts, Source

REAL, RECONSTRUCTED, CODE_LENGTH = "real images", "reconstructions", "code length"

RealImages = Callable[[Recipe], Source | None]
"""The real images that are scored beside a recipe's; None: there are none."""


def real_images(given: Source | bool, reference: Any) -> RealImages:
    """Those that are given; True: the part of the reference's data set that a score is not compared with."""
    opened: dict[str, Source] = {}

    def other_split(recipe: Recipe) -> Source | None:
        if not isinstance(reference, Source) or reference.sibling is None:
            return None
        split = "test" if recipe.split_of(reference.data_set or "") == "train" else "train"
        if split not in opened:
            opened[split] = reference.sibling(split)
        return opened[split]

    if given is True:
        return other_split
    return lambda _: given if isinstance(given, Source) else None


def enough(real: Source | None, n: int | None) -> bool:
    """Whether there are n real images (None: all)."""
    return real is not None and (real.n is None or n is None or real.n >= n)


def why_no_floor(real: Source | None, reference: Any, n: int | None) -> str:
    """Why no real images (None: there are none) stand beside a score of n images, and what to do, in a line for its
    notes."""
    give = "give real images (floor, --floor IMAGES)"
    if real is not None:
        why, give = f"{real.name} has {real.n:,} images, {n:,} are scored", give.replace("real", "as many real")
    elif reference is None:
        why = "no reference was given whose data set has real images"
    elif isinstance(reference, Source):
        why = f"the reference {reference.name} has no other split to take real images of"
        if reference.folder:
            give = f"compare with a split of the folder (reference, --reference FOLDER:test), or {give}"
    else:
        why = f"the statistics of the reference keep none of {n:,} images (eval reference ... --floors {n})"
    return f"no floor: {why}; {give}"


def stand_beside(setting: Setting, real: RealImages, parts: Parts | None) -> dict[str, dict[str, dict[str, Beside]]]:
    """{score: {name of the value: {"real images": ..., "reconstructions": ...}}}, of scores with enough real images."""
    groups: dict[int, tuple[Source, list[Task]]] = {}
    for task in setting.tasks:
        source, n = real(task[1]), task[2]
        if source is not None and enough(source, n):
            groups.setdefault(id(source), (source, []))[1].append(task)
    found: dict[str, dict[str, dict[str, Beside]]] = {}
    for source, tasks in groups.values():
        scored = {REAL: source} | ({RECONSTRUCTED: parts.reconstructed(source)} if parts else {})
        for what, one in scored.items():
            for score, values in setting.values(one, tasks).items():
                for name, value in values.items():
                    found.setdefault(score, {}).setdefault(name, {})[what] = {"value": value, "images": one.name}
    return found


def kept_floor(reference: Reference | None, n: int | None) -> dict[str, dict[str, Beside]]:
    """The floors of n images that were stored with a reference, in the same form for one score."""
    kept = reference.floors.get(str(n), {}) if reference else {}
    return {name: {REAL: floor} for name, floor in kept.items()}
