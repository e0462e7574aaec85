"""No file makes a reader do anything but read it or refuse it by name; and no reader is left out."""

import ast
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import fsvae_tcja

from .fuzz import fuzz
from .limits import attempt
from .readers import READERS

ROOT = Path(fsvae_tcja.__file__).parent.parent
OPENS = {"open", "read_text", "read_bytes", "safe_open", "loads", "loadtxt", "ZipFile", "get_aer_events_from_file"}
OPENS |= {"np.load", "torch.load", "json.load", "np.fromfile", "read_mnist_file", "torchvision_dataset"}
OTHERS = {  # functions that open no bytes of others, or none that a reader could refuse
    "fsvae_tcja/data/image_sets/cifar.py:load",  # torchvision's, which compares MD5 sums first
    "fsvae_tcja/data/image_sets/download.py:torchvision_download",
    "fsvae_tcja/runtime/run.py:RunFolder.log_pictures",  # those of the same process
    "fsvae_tcja/utils/memory.py:_text",  # the kernel's
    "fsvae_tcja/data/image_sets/cifar.py:check",  # compares MD5 sums alone
    "fsvae_tcja/data/copies.py:_tail",  # hashes of images, which are compared and not decoded
    "fsvae_tcja/utils/digest.py:file_sha256",
    "fsvae_tcja/data/events/cache.py:FrameCache.left_out",  # two numbers beside the frames
    "fsvae_tcja/utils/atomic.py:_sync",
    "fsvae_tcja/utils/cpus.py:_quota",
    "fsvae_tcja/utils/lock.py:_acquired",
    "fsvae_tcja/utils/one_copy.py:_mapped",  # what a process of the same program wrote
    "fsvae_tcja/utils/streams.py:prepare_streams",
    "fsvae_tcja/utils/streams.py:discard",
    "fsvae_tcja/report/compare.py:_samples",  # pictures of the run go into the page as they are
    "fsvae_tcja/report/sections.py:_samples",
    "fsvae_tcja/report/sections.py:_reconstructions",
    "fsvae_tcja/runtime/identity.py:_read",  # takes nothing of what is damaged
    "fsvae_tcja/commands/publish.py:_read_card",  # the text of a card, tests/commands/test_publish.py
    "fsvae_tcja/commands/ablation/job.py:finished",  # what jobs of the same study wrote
    "fsvae_tcja/commands/ablation/job.py:train_and_measure",
    "fsvae_tcja/commands/ablation/job.py:_steps_in",
}


@pytest.fixture(autouse=True)
def without_compiling(monkeypatch):
    """What a reader may take of the CPU is no time to compile kernels in; as in `make fuzz`."""
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")


def test_valid_files_are_accepted(tmp_path):
    for number, (name, reader) in enumerate(READERS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = reader.make(folder)
        if name != "CIFAR10":  # of which there is no small one
            assert attempt(reader.read, path, reader.named).kind == "accepted", name


@pytest.mark.parametrize("name", READERS)
def test_every_file_is_read_or_refused_by_name(name, caplog):
    caplog.set_level(logging.ERROR)
    assert fuzz(name, 24).others == {}


def opening(file: Path) -> Iterator[str]:
    """The functions of a file, "class.function", that open something to read it."""
    yield from _opening(ast.parse(file.read_text()), ())


def _opening(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        inside = (*inside, node.name)
    if isinstance(node, ast.Call) and inside and not _writes(node):
        name = ast.unparse(node.func)
        if name in OPENS or name.rpartition(".")[2] in OPENS:
            yield ".".join(inside)
    for child in ast.iter_child_nodes(node):
        yield from _opening(child, inside)


def _writes(call: ast.Call) -> bool:
    modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return any(mode in ("w", "wb", "a") for mode in modes)


def test_every_place_that_opens_a_file_is_reached_by_a_reader_of_the_table(tmp_path):
    """Found in the source, and seen while every reader reads its valid file."""
    there = {
        f"{file.relative_to(ROOT)}:{name}"
        for package in ("fsvae_tcja", "classifiers", "eval")
        for file in sorted((ROOT / package).rglob("*.py"))
        for name in opening(file)
    }
    assert {"fsvae_tcja/runtime/checkpoint.py:read", "eval/result.py:load_scores"} <= there
    seen = set()

    def watch(frame, event, argument):
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(ROOT):
            name = frame.f_code.co_qualname.replace(".<locals>", "").partition(".<")[0]
            seen.add(f"{file.relative_to(ROOT)}:{name}")

    for number, (name, reader) in enumerate(READERS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = reader.make(folder)
        if name != "CIFAR10":
            sys.setprofile(watch)
            try:
                with redirect_stdout(StringIO()):
                    reader.read(path)
            finally:
                sys.setprofile(None)
    assert there - seen - OTHERS == set()
    assert there >= OTHERS
