"""Nested frozen dataclasses as plain data, and back; parts of a configuration that are chosen by name."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from .foreign import brief
from .spelling import choose

PLAIN = {int: "a whole number below 2^63", float: "a finite number", bool: "true or false", str: "text"}


class Part:
    """Base of one kind of configurable part: a neuron, a latent, a read-out.

    A kind is a subclass of Part with a `table`, {name: instance}; what stands in the table are instances of frozen
    dataclasses that inherit from the kind. A field of a configuration that is annotated with the kind holds one of
    them. As plain data it is {"type": the name of its class, and its fields}; the table knows the class of that name. A
    name of the table alone stands for what the table holds under it.
    """

    table: ClassVar[dict[str, Any]]

    @classmethod
    def of(cls, part: Any) -> Any:
        """The part itself, or the one that the table has under this name; a ValueError if it is neither."""
        part = choose(cls.table, part, cls.__name__.lower()) if isinstance(part, str) else part
        if not isinstance(part, cls):
            raise ValueError(f"expected a {cls.__name__}, or one of the names {list(cls.table)}, found {brief(part)}")
        return part

    @classmethod
    def class_of(cls, type_name: Any) -> type:
        """The class of this name among those in the table; a ValueError lists them if there is none."""
        classes = {type(part).__name__: type(part) for part in cls.table.values()}
        if not isinstance(type_name, str) or type_name not in classes:
            raise ValueError(
                f"unknown {cls.__name__.lower()} of type {brief(type_name)}: known are {sorted(classes)}; import the "
                "module that adds it to the table first"
            )
        return classes[type_name]


def to_dict(config: Any) -> Any:
    """A nested configuration as plain data for JSON; tuples become lists."""
    if is_dataclass(config):
        kind: dict[str, Any] = {"type": type(config).__name__} if isinstance(config, Part) else {}
        return kind | {field.name: to_dict(getattr(config, field.name)) for field in fields(config)}
    if isinstance(config, tuple | list):
        return [to_dict(item) for item in config]
    if isinstance(config, Mapping):
        return {name: to_dict(value) for name, value in config.items()}
    return config


def from_dict(cls: type, data: Mapping[str, Any]) -> Any:
    """The configuration of class `cls` that `to_dict` (or JSON) gave.

    A class with an `upgrade(data) -> data` gets what an earlier version wrote in today's form.

    Raises:
        ValueError: an unknown or missing key, an unknown type of part, a value of another type than its field has, or
            one that the configuration refuses.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{cls.__name__} must be names and values, found {brief(data)}")
    data = dict(data)
    if issubclass(cls, Part):
        cls = cls.class_of(data.pop("type", None))
    if hasattr(cls, "upgrade"):
        data = cls.upgrade(data)
    known = {field.name: field for field in fields(cls) if field.init}
    unknown = sorted(data.keys() - known.keys())
    if unknown:
        raise ValueError(f"unknown key {brief(unknown[0])} in {cls.__name__}: known are {sorted(known)}")
    missing = [name for name, field in known.items() if name not in data and _is_required(field)]
    if missing:
        raise ValueError(f"{cls.__name__} lacks {missing[0]!r}: found {sorted(data)}")
    kinds = get_type_hints(cls)
    return cls(**{name: _value(name, kinds[name], value) for name, value in data.items()})


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _value(name: str, kind: Any, value: Any) -> Any:
    """The value of a field, by its annotation."""
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _first(name, options, value)
    if origin is Literal:
        if not isinstance(value, str) or value not in options:
            raise ValueError(f"{name} must be one of {list(options)}, found {brief(value)}")
        return value
    if origin is tuple:
        return _items(name, options, value)
    if isinstance(kind, type) and issubclass(kind, Part):
        return from_dict(kind, value) if isinstance(value, Mapping) else kind.of(value)
    if is_dataclass(kind) and isinstance(kind, type):
        return from_dict(kind, value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind in PLAIN and not _is_plain(kind, value):
        raise ValueError(f"{name} must be {PLAIN[kind]}, found {brief(value)}")
    if isinstance(kind, type) and kind not in PLAIN and not isinstance(value, kind):
        raise ValueError(f"{name} must be a {kind.__name__}, found {brief(value)}")
    return value


def _first(name: str, kinds: Sequence[Any], value: Any) -> Any:
    """The value by the first of these annotations that it fits."""
    if value is None and NoneType in kinds:
        return None
    first, *rest = (kind for kind in kinds if kind is not NoneType)
    try:
        return _value(name, first, value)
    except ValueError:
        if rest:
            return _first(name, rest, value)
        raise


def _items(name: str, kinds: Sequence[Any], values: Any) -> tuple[Any, ...]:
    """A tuple by the annotations of its members; (int, ...) stands for any number."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name} must be a list of values, found {brief(values)}")
    if kinds[-1] is Ellipsis:
        kinds = [kinds[0]] * len(values)
    if len(kinds) != len(values):
        raise ValueError(f"{name} must be {len(kinds)} values, found {brief(values)}")
    return tuple(_value(name, kind, value) for kind, value in zip(kinds, values, strict=True))


def _is_plain(kind: type, value: Any) -> bool:
    if kind in (bool, str):
        return isinstance(value, kind)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return whole or (kind is float and isinstance(value, float) and isfinite(value))
