"""Nested frozen dataclasses as plain data, and back."""

from dataclasses import asdict, fields
from typing import Any


def to_dict(config: Any) -> dict[str, Any]:
    """A nested configuration as plain data for JSON."""
    return asdict(config)


def from_dict(cls: type, data: dict[str, Any]) -> Any:
    """The configuration of class `cls` that `to_dict` (or JSON) gave.

    Raises:
        ValueError: an unknown key, or a value that the configuration refuses.
    """
    known = {f.name: f for f in fields(cls)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r} in {cls.__name__}: known are {sorted(known)}")
    values = {}
    for name, value in data.items():
        if isinstance(value, dict):
            value = from_dict(known[name].default_factory, value)
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    return cls(**values)
