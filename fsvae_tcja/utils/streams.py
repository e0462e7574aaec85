"""What a process writes to: outputs that are closed, whose reader has left, or that do not have every character."""

import codecs
import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

PLAIN = {"±": "+-", "\N{MULTIPLICATION SIGN}": "x"}  # what our own lines hold besides ASCII
LONGEST_WORD, LONGEST_MESSAGE = 500, 4000  # characters


def prepare_streams() -> None:
    """Make standard output and error writable in every case: closed ones (`2>&-`) lead nowhere, and characters that
    they do not have are spelled out.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # else the next file that is opened would take their place
        os.set_inheritable(spare, True)
    os.close(spare)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors=_SPELLED))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):  # not where a test or a notebook has put something else
            stream.reconfigure(errors=_SPELLED)


def flush(stream: TextIO) -> None:
    """Write what is still to be written; where that fails it is dropped, or Python would try again as it ends.

    Raises:
        OSError: nobody reads the stream, or its disk is full.
    """
    try:
        stream.flush()
    except OSError:
        discard(stream)
        raise


def discard(stream: TextIO) -> None:
    """Nothing that is still to be written raises any more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def readable(message: str) -> str:
    """An error message as it is shown: what cannot be printed is escaped, very long names lose their middle."""
    message = "".join(c if c.isprintable() or c == "\n" else _spell(c) for c in message)
    message = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: _cut(word[0], LONGEST_WORD // 2), message)
    return message if len(message) <= LONGEST_MESSAGE else _cut(message, LONGEST_MESSAGE)


def _cut(text: str, kept: int) -> str:
    return f"{text[: kept // 2]} ... ({len(text) - kept:,} characters) ... {text[-(kept // 2) :]}"


class Lasting:
    """A stream to which a run can go on writing when its reader has left, or its disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self.stream.flush()


def tell(line: str) -> None:
    """Say something on standard error, beside what the command prints; nothing is raised where nobody reads it."""
    print(line, file=Lasting(sys.stderr), flush=True)


def _spell(character: str) -> str:
    r"""In ASCII: "+-" for a sign that has a spelling, `\xff` for a byte of a file name, else `\u4e2d`."""
    if 0xDC80 <= ord(character) <= 0xDCFF:  # how Python holds a byte of a name that is not UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return PLAIN.get(character) or character.encode("unicode_escape").decode()


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Error handler of a codec (PEP 293)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spell, error.object[error.start : error.end])), error.end


_SPELLED = "fsvae_tcja.spelled"
codecs.register_error(_SPELLED, _spelled)
