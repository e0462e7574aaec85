"""Kernels are compiled once for all processes. What they compute is tested in test_lif_cpu.py."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

from fsvae_tcja.core.kernels import storage

FIRE = """
import torch
from fsvae_tcja.core.kernels.lif import cpu
from fsvae_tcja.core import lif
print(lif(torch.full((3, 4), 0.18))[0].tolist(), sum(cpu._forward.stats.cache_hits.values()))
"""


def fire(folder):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "FSVAE_TCJA_BACKEND": "cpu"}
    done = subprocess.run([sys.executable, "-c", FIRE], env=environment, capture_output=True, text=True, check=True)
    spikes, _, hits = done.stdout.strip().rpartition(" ")
    return spikes, int(hits)


def test_a_second_process_finds_what_the_first_compiled(tmp_path):
    spikes, hits = fire(tmp_path)
    assert hits == 0 and "1.0" in spikes and "0.0" in spikes
    assert fire(tmp_path) == (spikes, 1)


def test_a_change_of_any_source_compiles_anew(tmp_path, monkeypatch):
    (tmp_path / "kernels" / "lif").mkdir(parents=True)
    monkeypatch.setattr(storage, "__file__", str(tmp_path / "kernels" / "storage.py"))
    changed = [tmp_path / "kernels/storage.py", tmp_path / "kernels/lif/cpu.py", tmp_path / "surrogate.py"]
    for file in changed:
        file.write_text("")
    names = set()
    for file in [None, *changed]:
        if file:
            file.write_text("x = 1")
        storage._sources.cache_clear()
        names.add(storage.kernel(lambda: 1).py_func.__qualname__)
    storage._sources.cache_clear()
    assert len(names) == 4


def test_without_a_folder_to_write_it_is_compiled_in_memory():
    namespace = {}
    exec("def double(x): return 2 * x", namespace)  # a function without a file has none
    assert storage.kernel(namespace["double"])(3) == 6
