"""Options of the commands, generated from typed dataclasses; parts of a configuration chosen by name."""

import io
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import fields, is_dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from .configuration import Part
from .spelling import did_you_mean
from .streams import Lasting

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
Whole = Annotated[int | None, tyro.conf.arg(metavar="INT")]
Real = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]
Text = Annotated[str | None, tyro.conf.arg(metavar="STR")]
Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or mps; auto takes a GPU if there is one.")]
DataRoot = Annotated[
    Path | None,
    tyro.conf.arg(metavar="FOLDER", help="Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data."),
]
Download = Annotated[bool, tyro.conf.arg(help="Fetch missing sets of images; recordings of events are never fetched.")]
BatchSize = Annotated[int, tyro.conf.arg(help="Inputs per pass; changes memory and speed only.")]
READABLE = {  # messages of Python and tyro, as patterns
    r"invalid literal for int\(\) with base 10:": "expected a whole number, found",
    r"could not convert string to float:": "expected a number, found",
    r"no type matching \{None\}\|INT could be instantiated from \['(.*)'\]\.?": r"expected a whole number, found '\1'",
    r"no type matching \{None\}\|FLOAT could be instantiated from \['(.*)'\]\.?": r"expected a number, found '\1'",
    r"Could not parse arguments (\[.*\]) into tuple type typing.Tuple\[(.*)\]": r"expected \2, found \1",
}


def parse(options: type, program: str, args: Sequence[str], about: str | None = None) -> Any:
    """Build a dataclass with the arguments of a command line, or print its help and exit.

    Args:
        options: the dataclass; its annotations, defaults and docstrings become the options.
        program: what the user types before the arguments.
        args: the arguments.
        about: first lines of the help; by default the docstring.

    Raises:
        ValueError: an unknown option, a value that is missing or cannot be read, or that a dataclass refuses.
        SystemExit: after the help, with 0.
    """
    return read(lambda given: tyro.cli(options, prog=program, args=given, description=about), program, args)


def choose_parts(config: Any, args: Sequence[str], prefix: str = "--") -> tuple[Any, list[str]]:
    """The configuration with the parts that the arguments name, `--model.neuron tet`, and the other arguments.

    Every field that is annotated with a kind of part can be named, at any depth; the options of the chosen part, such
    as --model.latent.k, stay among the arguments.

    Args:
        config: a dataclass; what is not named stays as it is.
        args: of the command line.
        prefix: of the options of this dataclass.

    Raises:
        ValueError: a name that is missing or not in the table of its kind.
    """
    changes, rest = {}, list(args)
    for name, option, kind, value in _members(config, prefix):
        if kind is not None:
            chosen, rest = take(option, rest, f"a name, one of {list(kind.table)}")
            value = value if chosen is None else _named(kind, chosen, value)
        if is_dataclass(value):
            value, rest = choose_parts(value, rest, f"{option}.")
        if value is not getattr(config, name):
            changes[name] = value
    return (replace(config, **changes) if changes else config), rest


def _named(kind: type[Part], name: str, now: Part) -> Part:
    """The part of this name. If it is there already, with other settings, these stay."""
    named = kind.of(name)
    alike = [part for part in kind.table.values() if type(part) is type(named)]
    return now if type(now) is type(named) and len(alike) == 1 else named


def parts_help(config: Any, prefix: str = "--") -> str:
    """A line for each option of `choose_parts`, with its names; empty if there is none."""
    lines = []
    for _, option, kind, value in _members(config, prefix):
        if kind is not None:
            now = next((name for name, part in kind.table.items() if part == value), "as set below")
            lines.append(f"{option} {{{','.join(kind.table)}}} (default: {now})")
        if is_dataclass(value):
            lines += filter(None, [parts_help(value, f"{option}.")])
    return "\n\n".join(lines)


def _members(config: Any, prefix: str) -> list[tuple[str, str, type[Part] | None, Any]]:
    """Of each field: its name, its option, the kind of part that it holds (None: no part), its value."""
    hints = get_type_hints(type(config))
    members = []
    for field in fields(config):
        hint = hints[field.name]
        kind = hint if isinstance(hint, type) and issubclass(hint, Part) else None
        members.append((field.name, prefix + field.name.replace("_", "-"), kind, getattr(config, field.name)))
    return members


def take(option: str, args: Sequence[str], what: str) -> tuple[str | None, list[str]]:
    """The value of an option, the last one if it is there more than once, and the arguments without it.

    Raises:
        ValueError: the option has no value; the message says that it takes `what`.
    """
    chosen, rest, waiting = None, [], iter(args)
    for arg in waiting:
        name, equals, value = arg.partition("=")
        if name.replace("_", "-") != option:
            rest.append(arg)
            continue
        chosen = value if equals else next(waiting, "")
        if not chosen or chosen.startswith("-"):
            raise ValueError(f"{option} takes {what}")
    return chosen, rest


def read(run: Callable[[Sequence[str]], Any], program: str, args: Sequence[str]) -> Any:
    """What a call of tyro gives, its box of errors as a ValueError of one line."""
    _check_not_empty(args)
    box = io.StringIO()
    try:
        with redirect_stderr(box):
            built = run(args)
    except SystemExit as stop:
        if not stop.code:
            raise
        text = _text_of(box.getvalue())
    else:
        Lasting(sys.stderr).write(box.getvalue())
        return built
    raise ValueError(_message(text, program, lambda: _options(run)))


def _check_not_empty(args: Sequence[str]) -> None:
    """Refuse `--out ""`, which would be read as the folder that the program was started in."""
    for before, arg in zip(["", *args], args, strict=False):
        option, equals, value = arg.partition("=")
        if not arg or (option.startswith("--") and equals and not value):
            name = option or (before if before.startswith("--") else "an argument")
            raise ValueError(f"{name} is empty: give it a value, or leave it away")


def _text_of(box: str) -> str:
    """The first paragraph of a box below its title, on one line. Where no box can be drawn it has dashes for rules."""
    lines = box.splitlines()[1:]
    paragraphs = groupby(lines, lambda line: set(line) <= set(" ─-╭╮╰╯│"))
    first = next((list(group) for rule, group in paragraphs if not rule), [box])
    return " ".join(line.strip(" │\n") for line in first)


def _message(text: str, program: str, options: Callable[[], list[str]]) -> str:
    more = f"`{program} --help` shows every option"
    if unknown := re.match(r"Unrecognized options?: ([^ ,]+)", text):
        name = unknown[1].partition("=")[0]
        if not name.startswith("-"):
            return f"unexpected argument {name!r}: {more}"
        return f"unknown option {name}{_meant(name, options())}: {more}"
    if parsing := re.match(r"Error parsing (\S+?): (.*)", text):
        where, why = parsing.groups()
        for theirs, ours in READABLE.items():
            why = re.sub(theirs, ours, why)
        return f"{where}: {why}; {more}" if where.startswith("-") else why
    text = re.sub(r"^Missing from .+?: ", "missing: ", text)
    text = re.sub(r"((?:--\S+ )?[A-Z|.]+) (\S.*?)\.? \(required\)", r"\1 (\2)", text)
    return f"{text.rstrip('.')}; {more}"


def _meant(name: str, known: list[str]) -> str:
    """What to put behind an unknown option: those that end in its name (`--model.T` for `--T`), else those that begin
    with it (`--n-images` for `--n`), else one like it."""
    longer = [option for option in known if option.rpartition(".")[2] == name.lstrip("-")]
    longer = longer or [option for option in known if option.startswith(f"{name}-")]
    return f" (did you mean {' or '.join(map(repr, longer))}?)" if longer else did_you_mean(name, known)


def _options(run: Callable[[Sequence[str]], Any]) -> list[str]:
    """The names of all options, as the help has them."""
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        run(["--help"])
    return sorted(set(re.findall(r"(?<![\w-])--[A-Za-z][\w.-]*", shown.getvalue())))
