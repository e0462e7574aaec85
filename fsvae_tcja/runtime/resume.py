"""What a resumed run goes on from: its newest sound checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from . import checkpoint
from .run import RunFolder

Result = TypeVar("Result")


class Saved(NamedTuple):
    """A checkpoint of a run, checked."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    moments: dict[int, dict[str, Tensor]]
    """Of the optimiser, for each parameter that has any, by its number."""
    problems: list[str]
    """Why a newer one was passed over."""


def newest(run: RunFolder) -> Saved:
    """The newest sound checkpoint of a run.

    Raises:
        ValueError: none is sound; the message says what is wrong with each.
    """
    return _newest(run, _checked)


def newest_metadata(run: RunFolder) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint whose metadata are sound, and these. Errors as `newest`."""
    return _newest(run, lambda path, problems: (path, checkpoint.read_metadata(path)))


def _newest(run: RunFolder, read: Callable[[Path, list[str]], Result]) -> Result:
    problems: list[str] = []
    for path in run.checkpoints:
        try:
            return read(path, problems)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    raise ValueError("; ".join(problems))


def _checked(path: Path, problems: list[str]) -> Saved:
    tensors, metadata = checkpoint.read(path)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, *where = name.split(".")
        if kind == "optimizer":
            moments.setdefault(int(where[0]), {})[where[1]] = tensor
    expected = metadata.get("optimizer")
    if expected is None and not moments:
        raise ValueError(f"{path} holds a model and no optimizer: it is not the checkpoint of a run")
    names = {name for state in moments.values() for name in state}
    if expected not in (None, sorted(moments)) or any(state.keys() != names for state in moments.values()):
        raise ValueError(f"{path} is damaged: it lacks states of the optimizer; put a whole one back")
    return Saved(path, tensors, metadata, moments, problems)
