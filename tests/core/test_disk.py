"""Compiled kernels are kept on disk. What they compute is tested in test_lif_cpu.py."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

import numpy as np

from fsvae_tcja.core.kernels import disk
from fsvae_tcja.core.kernels.storage import kernel

FIRE = """
import torch
from fsvae_tcja.core import lif
from fsvae_tcja.core.kernels.lif import cpu
print(lif(torch.full((3, 4), 0.18))[0].tolist(), sum(cpu._forward.stats.cache_hits.values()))
"""


def double(x):
    return 2 * x


def run(x=3):
    """The value of a kernel that knows only what lies on disk, and how often it was found there."""
    found = kernel(double)
    value = found(x)
    return value, sum(found.stats.cache_hits.values())


@pytest.fixture
def place(tmp_path, monkeypatch):
    disk._log_once.cache_clear()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_a_second_process_finds_what_the_first_compiled(place):
    def fire():
        environment = {**os.environ, "FSVAE_TCJA_BACKEND": "cpu"}
        done = subprocess.run([sys.executable, "-c", FIRE], env=environment, capture_output=True, text=True, check=True)
        spikes, _, hits = done.stdout.strip().rpartition(" ")
        return spikes, int(hits)

    spikes, hits = fire()
    assert hits == 0 and "1.0" in spikes and "0.0" in spikes
    assert fire() == (spikes, 1)


def test_each_variant_has_a_file_of_its_own(place):
    assert run(3) == (6, 0) and run(3) == (6, 1)
    assert run(1.5) == (3.0, 0) and run(1.5) == (3.0, 1) and run(3) == (6, 1)
    assert len(list(place.iterdir())) == 2


def test_a_change_of_a_source_or_of_numba_compiles_anew_in_the_same_file(place, monkeypatch):
    assert run() == (6, 0)
    monkeypatch.setattr(disk, "sources", lambda: "others")
    assert run() == (6, 0) and run() == (6, 1)
    monkeypatch.setattr(disk.numba, "__version__", "0.0")
    assert run() == (6, 0) and run() == (6, 1)
    assert len(list(place.iterdir())) == 1


def test_the_digest_covers_every_source(tmp_path, monkeypatch):
    (tmp_path / "kernels" / "lif").mkdir(parents=True)
    monkeypatch.setattr(disk, "__file__", str(tmp_path / "kernels" / "disk.py"))
    files = [tmp_path / "kernels/disk.py", tmp_path / "kernels/lif/cpu.py", tmp_path / "surrogate.py"]
    for file in files:
        file.write_text("")
    digests = {disk.sources.__wrapped__()}
    for file in files:
        file.write_text("x = 1")
        digests.add(disk.sources.__wrapped__())
    assert len(digests) == 4


def flipped(whole):
    return whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[: len(whole) // 2], flipped])
def test_a_damaged_file_is_compiled_again_and_replaced(place, damage):
    run()
    (file,) = place.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert run() == (6, 0)
    assert run() == (6, 1)


def test_the_code_of_another_variant_is_never_taken(place):
    run(3), run(1.5)
    one, other = place.iterdir()
    one.write_bytes(other.read_bytes())
    assert sorted([run(3), run(1.5)]) in ([(3.0, 0), (6, 1)], [(3.0, 1), (6, 0)])
    assert run(3) == (6, 1) and run(1.5) == (3.0, 1)


def test_sources_that_change_after_the_import_do_not_get_the_old_code(place, monkeypatch):
    found = kernel(double)
    monkeypatch.setattr(disk, "sources", lambda: "others")
    assert found(3) == 6
    assert run() == (6, 0)


def test_a_file_that_cannot_be_read_says_so(place, caplog):
    run()
    (file,) = place.iterdir()
    file.unlink()
    file.mkdir()
    assert run() == (6, 0)
    assert "cannot be read from disk (IsADirectoryError" in caplog.text


def test_without_a_folder_to_write_it_works_and_says_so_once(place, caplog, monkeypatch):
    (place / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(place / "file" / "below"))
    assert [run(x)[0] for x in (3, 1.5, np.float32(2))] == [6, 3.0, 4.0]
    told = [message for message in caplog.messages if "cannot be kept on disk" in message]
    assert len(told) == 1 and "set NUMBA_CACHE_DIR to a folder that can be written" in told[0]


def test_nothing_half_written_is_left(place, monkeypatch, caplog):
    monkeypatch.setattr(disk.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert run() == (6, 0)
    assert not list(place.iterdir()) and "No space left on device" in caplog.text
