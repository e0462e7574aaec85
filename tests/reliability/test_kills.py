"""The short form of kills.py, which is run by hand in its long one."""

import subprocess
import sys

import pytest

from tests.conftest import LONG, long


@pytest.mark.parametrize("program", ["vae", pytest.param("classifier", marks=long)])
def test_killed_runs_end_in_the_weights_of_undisturbed_ones(program):
    command = [sys.executable, "-m", "tests.reliability.kills", "--kills", "2", "--seed", "1"]
    command += [] if LONG else ["--quick"]  # the long form kills the drawing of curves too
    command.append(program)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{program}: 2 kills in ")
