"""Outputs of few characters, closed ones, readers that have left; names that are long or not UTF-8."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsvae_tcja.utils.streams import readable

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from fsvae_tcja.utils.progress import progress
from fsvae_tcja.utils.program import Program, Command

def show(args):
    with progress("count", 3, "steps") as bar:
        for _ in range(3):
            bar.advance()
            bar.message("\\u00b11 " * 10000)
    print(eval(args[0]))
    open(args[1], "w").write("finished")

sys.modules["shown"] = type("module", (), {"show": staticmethod(show)})
import fsvae_tcja.utils.program as program
program._find = lambda place: show
sys.exit(Program("program", {"show": Command("shown:show", "")}).main(["show", *sys.argv[1:]]))
"""


SIGNS = "1 \xb1 2, 3 \xd7 4, caf\xe9, \u4e2d, \U0001f600"


def run(text, out, redirection="", **environment):
    """A program that counts, prints the text and finishes its file."""
    command = f'exec "$0" "$@" {redirection}'
    args = ["sh", "-c", command, sys.executable, "-c", PROGRAM, ascii(text), out]
    return subprocess.run(args, capture_output=True, cwd=ROOT, env={**os.environ, **environment})


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["PYTHONIOENCODING", "LC_ALL"],
)
def test_a_terminal_without_a_character_gets_a_spelling(tmp_path, environment):
    done = run(SIGNS, tmp_path / "a", **environment)
    assert done.returncode == 0 and (tmp_path / "a").exists()
    assert done.stdout == rb"1 +- 2, 3 x 4, caf\xe9, \u4e2d, \U0001f600" + b"\n"


def test_a_terminal_with_all_characters_gets_them(tmp_path):
    assert run("1 ± 2", tmp_path / "a", PYTHONIOENCODING="utf-8").stdout.decode() == "1 ± 2\n"


@pytest.mark.parametrize("environment", [{}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}], ids=str)
def test_a_file_name_that_is_not_utf8_is_escaped(tmp_path, environment):
    assert run("caf\udce9.png", tmp_path / "a", **environment).stdout == rb"caf\xe9.png" + b"\n"


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_closed_or_full_stream_changes_nothing(tmp_path, redirection):
    done = run("1", tmp_path / "a", redirection)
    assert done.returncode == 0
    assert (tmp_path / "a").read_text() == "finished"
    assert done.stdout == (b"" if ">&- " in f"{redirection} ".replace("2>&-", "") else b"1\n")


def test_a_reader_of_errors_that_has_left_does_not_end_a_run(tmp_path):
    """`program 2>&1 >out | head`: the progress is read no more."""
    read, write = os.pipe()
    os.close(read)
    args = [sys.executable, "-c", PROGRAM, ascii("1"), tmp_path / "a"]
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=write, cwd=ROOT)
    os.close(write)
    assert (done.returncode, done.stdout) == (0, b"1\n")
    assert (tmp_path / "a").read_text() == "finished"


def test_a_full_disk_behind_the_output_is_one_line(tmp_path):
    done = run("1", tmp_path / "a", ">/dev/full", PYTHONUNBUFFERED="")
    assert (tmp_path / "a").read_text() == "finished"
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1] == "error: [Errno 28] No space left on device"


def test_messages_are_of_a_sensible_length():
    assert readable("no file at /a b/c.png: look\nthere") == "no file at /a b/c.png: look\nthere"
    name = "n" * 10_000
    shown = readable(f"unknown preset {name}: choose one of ['digits', 'mnist']")
    assert shown.startswith("unknown preset nnn") and shown.endswith("nnn: choose one of ['digits', 'mnist']")
    assert "(9,751 characters)" in shown and len(shown) < 400
    long = readable("ab " * 10_000)
    assert len(long) < 4100 and "... (26,000 characters) ..." in long


def test_control_characters_and_bytes_are_escaped():
    assert readable("a\x1b[31mb\udcff\tc\rd é") == r"a\x1b[31mb\xff\tc\rd é"
