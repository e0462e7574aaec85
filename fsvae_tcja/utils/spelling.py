"""Names: one of a few, or what a misspelt one was meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to put behind the name: " (did you mean 'mnist'?)", or nothing if no known name is near."""
    near = get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raise a ValueError unless the value is one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {list(get_args(choices))}, found {value!r}")
