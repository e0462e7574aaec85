"""What the processes of a machine hold alike lies in its memory once, and nothing of it stays behind."""

import logging
import os
import signal
from pathlib import Path

import pytest
import torch

from fsvae_tcja.data import IMAGE_SETS, ImageSet, MemoryImages, load_images
from fsvae_tcja.utils import one_copy
from fsvae_tcja.utils.one_copy import once_per_machine
from fsvae_tcja.utils.processes import one_before_the_others, rank
from tests.several import barrier, place_of, together

SHM = Path("/dev/shm")
N = 2000


def counted(split: str, reads: Path) -> MemoryImages:
    """Images, whose readings a file counts."""
    with open(reads, "a") as file:
        file.write(f"{split} by {rank()}\n")
    images = torch.randint(256, (N, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(len(split)))
    data = MemoryImages("counted", split, images, torch.arange(N) % 3, 3, ("a", "b", "c"))
    data.sha256, data.notes = ("1234",), ("of ours",)
    return data


def read(reads: Path, killed: int = -1) -> dict[str, object]:
    """What this process has of a set of one's own. One of them may be killed when it is read."""
    IMAGE_SETS["counted"] = ImageSet(lambda split, size, files: counted(split, reads), {"train": [], "test": []})
    with once_per_machine():
        train, valid = (load_images("counted", split, validation=0.1) for split in ("train", "valid"))
        test = load_images("counted", "test")
    if rank() == killed:
        os.kill(os.getpid(), signal.SIGKILL)
    found = {
        "contents": [one.content_hash for one in (train, valid, test)],
        "told": [test.name, test.split, test.shape, test.classes, test.class_names, test.sha256, test.notes],
        "places": [place_of(one) for one in (train.dataset.images, valid.dataset.images, test.images, test.labels)],
    }
    if killed < 0:
        test.images[0] = rank()  # seen by nobody else
        barrier()
        found["own"] = test.images[0].unique().tolist()
    return found


def closed(reads: Path, reason: str) -> tuple[dict[str, object], list[str]]:
    """`read` on a system that shares no memory, and its warnings."""

    def refused(name: str) -> int:
        raise PermissionError(1, "Operation not permitted")

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    one_copy.log.addHandler(handler)
    before, os.memfd_create = os.memfd_create, refused
    if "memfd_create" in reason:  # as in a Python that was built for an older libc
        del os.memfd_create
    try:
        return read(reads), lines
    finally:
        os.memfd_create = before
        one_copy.log.removeHandler(handler)


def test_one_process_reads_and_all_have_it_in_the_same_memory(tmp_path):
    before = set(SHM.iterdir())
    (alone,) = together(1, read, tmp_path / "alone")
    found = together(3, read, tmp_path / "several")
    assert not [error for error in found if isinstance(error, BaseException)], found
    assert (tmp_path / "several").read_text().split("\n") == ["train by 0", "test by 0", ""]
    assert (tmp_path / "alone").read_text().split("\n") == ["train by 0", "train by 0", "test by 0", ""]
    for one in found:
        assert (one["contents"], one["told"]) == (alone["contents"], alone["told"])
        assert one["places"] == found[0]["places"] and "00:00 0" not in one["places"]
    assert [one["own"] for one in found] == [[0], [1], [2]]
    assert set(SHM.iterdir()) <= before


def test_the_others_keep_it_when_the_first_is_killed(tmp_path):
    """And nothing stays behind, whoever is killed."""
    before = set(SHM.iterdir())
    (alone,) = together(1, read, tmp_path / "alone")
    for killed in (0, 1):
        found = together(2, read, tmp_path / f"killed {killed}", killed)
        assert found[killed] is None
        assert found[1 - killed]["contents"] == alone["contents"]
    assert set(SHM.iterdir()) <= before


@pytest.mark.parametrize("reason", ["Operation not permitted", "no attribute 'memfd_create'"])
def test_where_memory_cannot_be_shared_each_reads_and_one_line_says_so(tmp_path, reason):
    found = together(2, closed, tmp_path / "reads", reason)
    assert not [error for error in found if isinstance(error, BaseException)], found
    (first, lines), (second, _) = found
    assert first["contents"] == second["contents"]
    assert sorted((tmp_path / "reads").read_text().split("\n"))[1:] == [
        "test by 0", "test by 1", "train by 0", "train by 0", "train by 1", "train by 1",
    ]  # fmt: skip
    (line,) = lines
    assert "each process has its own copy" in line and reason in line and "\n" not in line


def test_the_number_of_a_process_that_is_alone_means_nothing(monkeypatch):
    """As where srun starts several programs that know nothing of one another."""
    monkeypatch.setenv("LOCAL_RANK", "2")
    with one_before_the_others() as told:
        assert told == {}
