"""The list of commands, what it costs, and how the program ends."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import classifiers.cli
import eval.cli
import fsvae_tcja
from fsvae_tcja.cli import PROGRAM as PROGRAM_TABLE
from fsvae_tcja.cli import main
from fsvae_tcja.utils.program import Program

from .program import PROGRAM

CHECKOUT = Path(__file__).parents[2]
COMMANDS = PROGRAM_TABLE.commands
GROUPS = {"classify": classifiers.cli.PROGRAM.commands, "eval": eval.cli.PROGRAM.commands}


def process(*args, **more):
    return subprocess.run([*PROGRAM, *args], capture_output=True, text=True, **more)


def test_usage_names_every_command(capsys):
    for args in ([], ["-h"], ["--help"]):
        assert main(args) == 0
        out = capsys.readouterr().out
        assert all(f"\n  {name} " in out and command.about in out for name, command in COMMANDS.items())
        assert "exit status: 0 done" in out and "130 interrupted" in out


@pytest.mark.parametrize(
    "command",
    [*([name] for name in COMMANDS), *([group, name] for group in GROUPS for name in GROUPS[group])],
    ids=" ".join,
)
def test_help_of_every_command(command, capsys):
    try:
        assert main([*command, "--help"]) == 0
    except SystemExit as stop:
        assert stop.code == 0
    program = "fsvae-tcja score" if command == ["eval", "score"] else f"fsvae-tcja {' '.join(command)}"
    out = capsys.readouterr().out
    assert f"usage: {program} " in out
    if command[0] not in ("score", "eval"):
        assert "{None}" not in out, "give the option a metavar"


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["nope"], ["classify", "--help"], ["classify", "nope"], ["eval", "--help"]],
    ids=" ".join,
)
def test_lists_load_no_torch(args):
    """Which takes 2 seconds; below .3 s of CPU is promised."""
    names = "('torch', 'numpy', 'tyro', 'rich', 'matplotlib')"
    code = f"import sys; from fsvae_tcja.cli import main; main({args}); print([n for n in {names} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done


def test_unknown_commands(fails):
    assert "unknown command 'draw': choose one of ['train', 'sample'" in fails("draw")
    assert "unknown command 'recontruct' (did you mean 'reconstruct'?): choose one of" in fails("recontruct")
    assert "unknown command 'predcit' (did you mean 'predict'?): choose one of" in fails("classify", "predcit")


def test_the_installed_program_is_this_one():
    (script,) = entry_points(group="console_scripts", name="fsvae-tcja")
    assert script.load() is main


def test_the_version_is_that_of_the_project(capsys):
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fsvae-tcja {version}\n"
    assert fsvae_tcja.__version__ == version
    assert re.search(rf"^version: {re.escape(version)}$", (CHECKOUT / "CITATION.cff").read_text(), re.MULTILINE)
    assert f"\n## [{version}]" in (CHECKOUT / "CHANGELOG.md").read_text()


def test_an_error_as_a_process():
    done = process("train", "nope")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: unknown preset 'nope'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_lack_of_memory_is_one_line(error, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(Program, "run", fail)
    assert main(["doctor"]) == 2
    found = capsys.readouterr().err
    assert found.startswith("error: out of memory; compute less at once (--batch-size)") and found.count("\n") == 1


def test_another_error_of_the_program_is_not_taken_for_lack_of_memory(monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Program, "run", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["doctor"])


@pytest.mark.parametrize("args", [["--help"], ["info", "--help"], ["doctor"]], ids=" ".join)
def test_a_reader_that_has_left_is_no_error(args):
    """`fsvae-tcja ... | head` is silent."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*PROGRAM, *args], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_harmless(redirection):
    for args, status in (("--version", 0), ("nope", 2)):
        command = f'"{sys.executable}" -m fsvae_tcja {args} {redirection}'
        assert subprocess.run(command, shell=True, capture_output=True).returncode == status


def test_a_closed_stderr_does_not_end_in_a_file(run, tmp_path):
    command = f'"{sys.executable}" -m fsvae_tcja sample "{run}" --n 2 --out s.npz >&- 2>&-'
    assert subprocess.run(command, shell=True).returncode == 0
    with np.load(tmp_path / "s.npz") as file:
        assert len(file["images"]) == 2


@pytest.mark.parametrize("delay", [0.1, 0.4, 0.8])
def test_ctrl_c_in_the_first_second(delay):
    """While PyTorch is being imported."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + (
        "import fsvae_tcja.cli, sys; print(flush=True); sys.exit(fsvae_tcja.cli.main(['doctor']))"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started.stdout.readline()
    time.sleep(delay)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate()
    assert (started.returncode, err) == (130, "interrupted\n"), out


def test_ctrl_c_is_ignored_where_the_shell_ignores_it():
    """As in the background of a script."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); from fsvae_tcja.cli import main; " + (
        "main(['doctor']); print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize(
    ("file", "args"),
    [
        ("eval.py", ["eval", "protocols"]),
        ("eval/__init__.py", ["score", "runs/mine"]),
        ("eval.py", ["train", "digits", "--score-every", "1"]),
        ("eval.py", ["publish", "runs/mine", "--out", "mine"]),
        ("eval/__init__.py", ["report", "runs/mine"]),
        ("classifiers.py", ["classify", "--help"]),
        ("classifiers/__init__.py", ["classify", "predict", "a", "b"]),
    ],
    ids=str,
)
def test_a_users_file_under_the_name_of_our_package_is_found_out(tmp_path, file, args):
    mine, package = tmp_path / file, re.match(r"\w+", file)[0]
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("raise SystemExit('this file is not to be run')")
    done = process(*args)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {mine} hides the package {package} of this program: rename it")
    assert done.stderr.count("\n") == 1


def test_other_commands_do_not_mind(tmp_path):
    for name in ("eval", "classifiers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this file is not to be run')")
    assert process("train", "digits", "--dry-run").returncode == 0


def test_a_missing_extra_is_named(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)  # importing it raises ModuleNotFoundError
    assert "this needs sklearn: pip install 'fsvae-tcja[demo]'" in fails("train", "digits")
