"""What stands beside a score: that of as many real images, its floor, and that of a model's reconstructions of these.

floor -> reconstructions is the decoder's share of a score, reconstructions -> samples the prior's.
"""

from collections.abc import Callable
from typing import Any, TypeGuard

from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.processes import gather

from .protocols import Recipe
from .reference import Reference
from .setting import Setting, Task
from .sources import Parts, Source

REAL, RECONSTRUCTED, CODE_LENGTH = "real images", "reconstructions", "code length"

Beside = dict[str, Any]
"""{"value": float, "images": which}."""
RealImages = Callable[[Recipe], Source | str | None]
"""The real images that are scored beside a recipe's; a text says why they cannot be had, None: there are none."""


def real_images(given: Source | bool, reference: Any) -> RealImages:
    """Those that are given; True: the part of the reference's data set that a score is not compared with.

    Of a data set or a folder with splits that is given without saying which, it is that part too.
    """
    source = reference if given is True else given
    if isinstance(source, Source) and source.sibling and not (source is given and source.named):
        return _other_split(source)
    return lambda _: given if isinstance(given, Source) else None


def _other_split(source: Source) -> RealImages:
    """The split of a source that a recipe does not compare with: which it does, a name says, or else the recipe."""
    opened: dict[str, Source | str] = {}

    def other_split(recipe: Recipe) -> Source | str:
        compared = source.split if source.named else recipe.split_of(source.data_set or "")
        split = "test" if compared == "train" else "train"
        if split not in opened:
            opened[split] = _opened(source, split)
        return opened[split]

    return other_split


def _opened(source: Source, split: str) -> Source | str:
    """Another split of a source, or why it cannot be had: a score needs no floor."""
    assert source.sibling, "it has splits"
    with once_per_machine():
        try:
            found: Source | str = source.sibling(split)
        except (ValueError, OSError) as error:
            found = " ".join(str(error).split()).rstrip(".")
    missing = [why for why in gather(found if isinstance(found, str) else "") if why]
    return missing[0] if missing else found


def enough(real: Source | str | None, n: int | None) -> TypeGuard[Source]:
    """Whether there are n real images (None: all)."""
    return isinstance(real, Source) and (real.n is None or n is None or real.n >= n)


def why_no_floor(real: Source | str | None, reference: Any, n: int | None) -> str:
    """Why no real images (as RealImages has them) stand beside a score of n images, and what to do, in a line for its
    notes."""
    give = "give real images (floor, --floor IMAGES)"
    if isinstance(real, str):
        why = real
    elif real is not None:
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
        if enough(source, n):
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
