"""Completion of a program's commands in a shell: a script made of its table."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import tyro

from .program import Command, Program, find
from .spelling import choose

SHELLS = {"bash": "", "zsh": "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"}
"""By name what a shell needs in front of the script, which is written for bash."""


@dataclass(frozen=True)
class CompletionOptions:
    """Print a script that completes commands, presets and options in a shell.

    bash: `fsvae-tcja completion bash > ~/.local/share/bash-completion/completions/fsvae-tcja`

    zsh: `fsvae-tcja completion zsh > FILE`, and `source FILE` in ~/.zshrc
    """

    shell: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SHELL", help=f"One of {', '.join(SHELLS)}.")]


class Words(NamedTuple):
    """What may stand behind a command."""

    names: tuple[str, ...]
    """Commands or presets."""
    options: tuple[str, ...]


def script(program: Program, shell: str) -> str:
    """A script that completes commands, what may follow them, and options; file names everywhere else.

    Args:
        program: its commands are looked up, all of them.
        shell: a key of SHELLS.

    Raises:
        ValueError: an unknown shell.
    """
    first = choose(SHELLS, shell, "shell")
    places = dict(_places(program, ""))
    function = "_" + program.name.replace("-", "_")
    cases = "\n".join(
        f'    "{place}") names="{" ".join(words.names)}" options="{" ".join(words.options)}" ;;'
        for place, words in places.items()
    )
    known = "|".join(f'"{place}"' for place in places if place)
    return f"""{first}{function}() {{
  local place="" names="" options="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place ${{COMP_WORDS[i]}}" in
    {known}) place="$place ${{COMP_WORDS[i]}}" ;;
    *) break ;;
    esac
  done
  case "$place" in
{cases}
  esac
  word="${{COMP_WORDS[COMP_CWORD]}}"
  if [[ "$word" == -* ]]; then names="$options"
  elif ((i < COMP_CWORD)); then names=""; fi
  COMPREPLY=($(compgen -W "$names" -- "$word"))
}}
complete -o default -F {function} {program.name}
"""


def _places(program: Program, place: str) -> Iterator[tuple[str, Words]]:
    """Each place in a command line, " eval score", and what may stand there."""
    yield place, Words(tuple(program.commands), ("--help", "--version"))
    for name, command in program.commands.items():
        follows = find(command.follows) if command.follows else {}
        if isinstance(follows, Program):
            yield from _places(follows, f"{place} {name}")
        else:
            yield f"{place} {name}", Words(tuple(follows), _options(command, follows))


def _options(command: Command, follows: Mapping[str, object]) -> tuple[str, ...]:
    """The options that the help of a command names; where a preset is to come first, those of the first."""
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        find(command.place)([*list(follows)[:1], "--help"])
    return tuple(sorted(set(re.findall(r"(?<![\w-])--[A-Za-z][\w.-]*\w", shown.getvalue()))))
