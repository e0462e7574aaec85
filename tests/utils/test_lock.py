import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from fsvae_tcja.utils import lock
from fsvae_tcja.utils.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from fsvae_tcja.utils.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path, holder):
    with (
        pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))} is in use \(process {holder.pid} on "),
        locked(tmp_path),
    ):
        pass


def test_the_lock_ends_with_a_killed_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        pass


def test_a_lock_is_held_once_in_a_process_too_and_leaves_nothing(tmp_path):
    for _ in range(2):
        with locked(tmp_path):
            with pytest.raises(ValueError, match="is in use"), locked(tmp_path):
                pass
            with pytest.raises(ValueError, match="is in use"), locked(tmp_path):
                pass
        assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    """Such as a loader process, which outlives its killed parent by seconds."""
    read, write = os.pipe()
    with locked(tmp_path):
        if (child := os.fork()) == 0:
            os.read(read, 1)  # to the end of the test
            os._exit(0)
    try:
        time.sleep(0.05)
        with locked(tmp_path):
            pass
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)
        os.close(read), os.close(write)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    folder.mkdir()
    victim.write_text("precious")
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(OSError), locked(folder):
        pass
    assert victim.read_text() == "precious"


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock.warn_once.cache_clear()
    with locked(tmp_path):
        pass
    assert "has no locks" in caplog.text
