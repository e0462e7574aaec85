"""Options of dataclasses; parts chosen by name."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import tyro

from fsvae_tcja.utils.configuration import Part
from fsvae_tcja.utils.options import choose_parts, parse, parts_help, read, take


class Shade(Part):
    """A kind of part."""

    table: ClassVar[dict] = {}


@dataclass(frozen=True)
class Plain(Shade):
    """Without options."""


@dataclass(frozen=True)
class Mixed(Shade):
    """With one."""

    depth: float = 0.5
    """How deep."""


Shade.table |= {"plain": Plain(), "mixed": Mixed(), "deep": Mixed(0.9)}


@dataclass(frozen=True)
class Wall:
    height: int = 3
    """Metres."""
    outer_shade: Shade = Mixed()
    """Outside."""

    def __post_init__(self):
        if self.height < 1:
            raise ValueError(f"height must be >= 1, found {self.height}")


@dataclass(frozen=True)
class House:
    """A house, to be painted."""

    wall: Wall = field(default_factory=Wall)
    """The wall."""
    roof: Shade = Plain()
    """The roof."""
    sizes: tuple[float, float] = (1.0, 2.0)
    lit: bool = False


@dataclass(frozen=True)
class Visit:
    """Visit a house."""

    door: Annotated[Path, tyro.conf.Positional]
    """Which."""
    times: int = 1


def painted(args: list[str]) -> House:
    """As the commands that train do it: parts first, the other options by tyro."""
    start, rest = choose_parts(House(), args)
    about = f"{House.__doc__}\n\n{parts_help(start)}"
    return read(
        lambda given: tyro.cli(House, prog="paint", args=given, default=start, description=about), "paint", rest
    )


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("", House()),
        ("--roof mixed", House(roof=Mixed())),
        ("--roof=deep --lit", House(roof=Mixed(0.9), lit=True)),
        ("--roof mixed --roof.depth 0.25", House(roof=Mixed(0.25))),
        ("--roof.depth 0.25 --roof plain --roof mixed", House(roof=Mixed(0.25))),
        ("--wall.outer-shade deep --wall.height 4", House(Wall(4, Mixed(0.9)))),
        ("--wall.outer_shade plain", House(Wall(outer_shade=Plain()))),
        ("--wall.outer-shade.depth 0.1", House(Wall(outer_shade=Mixed(0.1)))),
    ],
)
def test_parts_are_chosen_by_name_at_any_depth(args, expected):
    assert painted(args.split()) == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--roof plane", "unknown shade 'plane' (did you mean 'plain'?): choose one of ['plain', 'mixed', 'deep']"),
        ("--roof", "--roof takes a name, one of ['plain', 'mixed', 'deep']"),
        ("--roof --lit", "--roof takes a name, one of"),
        ("--roof plain --roof.depth 1", "unknown option --roof.depth"),
        ("--wall.hight 3", "unknown option --wall.hight (did you mean '--wall.height'?): `paint --help` shows every"),
        ("--height 3", "unknown option --height (did you mean '--wall.height'?): `paint"),
        ("--wall.outer 3", "unknown option --wall.outer (did you mean '--wall.outer-shade' or '--wall.outer-shade.dep"),
        ("--wall.hight=3", "unknown option --wall.hight (did you mean"),
        ("--wall.height many", "--wall.height: expected a whole number, found 'many'; `paint --help` shows every"),
        ("--wall.height 0", "height must be >= 1, found 0"),
        ("--sizes 1", "Missing value for argument '--sizes'. Expected 2 values"),
        ("--sizes 1 x", "--sizes: expected float, float, found ['1', 'x']; `paint"),
        ("castle", "unexpected argument 'castle': `paint --help` shows every option"),
    ],
)
def test_errors_are_one_line_that_names_the_option(args, message, capsys):
    with pytest.raises(ValueError) as error:
        painted(args.split())
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value) and "│" not in str(error.value)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_errors_do_not_depend_on_what_can_be_drawn(encoding, monkeypatch):
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(
        ValueError, match=r"^--wall.height: expected a whole number, found 'x'; `paint --help` shows .* option$"
    ):
        painted(["--wall.height", "x"])


def test_an_error_of_a_narrow_terminal_is_one_line_too(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(ValueError, match="expected a whole number, found 'a long word which wraps, and more'; `paint"):
        painted(["--wall.height", "a long word which wraps, and more"])


def test_help_names_options_and_parts(capsys):
    with pytest.raises(SystemExit) as stop:
        painted(["--help"])
    out = capsys.readouterr().out
    assert not stop.value.code
    assert "A house, to be painted." in out and "usage: paint" in out
    assert "--roof {plain,mixed,deep} (default: plain)" in out
    assert "--wall.outer-shade {plain,mixed,deep} (default: mixed)" in out
    assert "--wall.outer-shade.depth FLOAT" in out


def test_positional_arguments():
    assert parse(Visit, "visit", ["here", "--times", "2"]) == Visit(Path("here"), 2)
    with pytest.raises(ValueError, match=r"missing: PATH \(Which\); `visit --help`"):
        parse(Visit, "visit", [])


def test_parts_are_taken_out_of_the_arguments():
    config, rest = choose_parts(House(), ["x", "--roof", "deep", "--roof.depth", "1", "--lit"])
    assert config == House(roof=Mixed(0.9)) and rest == ["x", "--roof.depth", "1", "--lit"]
    config, rest = choose_parts(unchanged := House(), ["--lit"])
    assert config is unchanged and rest == ["--lit"]


def test_an_option_is_taken_out_of_the_arguments():
    assert take("--out", ["a", "--out", "b", "--out=c"], "a folder") == ("c", ["a"])
    assert take("--out", ["a"], "a folder") == (None, ["a"])
    with pytest.raises(ValueError, match="--out takes a folder"):
        take("--out", ["--out"], "a folder")
