"""Names: one of a few, or what a misspelt one was meant to be."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to put behind the name: " (did you mean 'mnist'?)", or nothing if no known name is near."""
    near = get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raise a ValueError unless the value is one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {list(get_args(choices))}, found {value!r}")


def choose(table: Mapping[str, T], name: str, what: str) -> T:
    """What a table holds under a name; a ValueError lists the names if there is no such one. `what` it is called."""
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}{did_you_mean(str(name), table)}: choose one of {list(table)}")
    return table[name]
