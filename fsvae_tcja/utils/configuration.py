"""Nested frozen dataclasses as plain data, and back; parts of a configuration that are chosen by name."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar, get_type_hints

from .spelling import choose


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
            raise ValueError(f"expected a {cls.__name__}, or one of the names {list(cls.table)}, found {part!r}")
        return part

    @classmethod
    def class_of(cls, type_name: str) -> type:
        """The class of this name among those in the table; a ValueError lists them if there is none."""
        classes = {type(part).__name__: type(part) for part in cls.table.values()}
        if type_name not in classes:
            raise ValueError(
                f"unknown {cls.__name__.lower()} of type {type_name!r}: known are {sorted(classes)}; import the module "
                "that adds it to the table first"
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
        ValueError: an unknown or missing key, an unknown type of part, or a value that the configuration refuses.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{cls.__name__} must be names and values, found {data!r}")
    data = dict(data)
    if issubclass(cls, Part):
        cls = cls.class_of(data.pop("type", None))
    if hasattr(cls, "upgrade"):
        data = cls.upgrade(data)
    known = {field.name: field for field in fields(cls) if field.init}
    unknown = sorted(data.keys() - known.keys())
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r} in {cls.__name__}: known are {sorted(known)}")
    missing = [name for name, field in known.items() if name not in data and _is_required(field)]
    if missing:
        raise ValueError(f"{cls.__name__} lacks {missing[0]!r}: found {sorted(data)}")
    kinds = get_type_hints(cls)
    return cls(**{name: _value(kinds[name], value) for name, value in data.items()})


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _value(kind: Any, value: Any) -> Any:
    if isinstance(value, str) and isinstance(kind, type) and issubclass(kind, Part):
        return kind.of(value)
    if isinstance(value, Mapping) and isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Part)):
        return from_dict(kind, value)
    return tuple(value) if isinstance(value, list) else value
