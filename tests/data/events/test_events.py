"""The door to the event sets: splits, cache, and what is wrong with the files."""

import logging
import os
import re
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fsvae_tcja.data.events import EVENT_SETS, EventFrames, load_events, to_frames
from fsvae_tcja.data.events.formats import write_atis
from fsvae_tcja.data.workers import batches
from fsvae_tcja.utils import once
from tests.data.events.writers import write_synthetic


@pytest.fixture
def nmnist(tmp_path):
    write_synthetic("nmnist", tmp_path, train=3, test=1)
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The files of N-MNIST that are read, in order."""
    read, files = EVENT_SETS["nmnist"].read, []

    def counting(path):
        files.append(path)
        return read(path)

    monkeypatch.setitem(EVENT_SETS, "nmnist", replace(EVENT_SETS["nmnist"], read=counting))
    return files


def load(root, split="train", T=4, **options):
    return load_events("nmnist", split, T=T, root=root, **options)


def entries(root):
    return sorted((root / ".cache").rglob("*.frames"))


# the data


def test_frames_are_those_of_the_recordings(nmnist):
    data = load(nmnist, validation=0, by="time")
    assert isinstance(data, EventFrames) and len(data) == 30
    for i in (0, 17, 29):
        events = EVENT_SETS["nmnist"].read(data.recordings[i].path)
        frames, label = data[i]
        assert np.array_equal(frames.numpy(), to_frames(events, 4, (34, 34), "time"))
        assert isinstance(label, int) and str(label) == data.recordings[i].path.parent.name


def test_attributes(nmnist):
    data = load(nmnist, "test")
    assert (data.name, data.split, data.shape, data.channels, data.T) == ("nmnist", "test", (2, 34, 34), 2, 4)
    assert data.classes == 10 and data.class_names == tuple("0123456789")
    assert data.labels.dtype == torch.int64 and data.labels.tolist() == list(range(10))
    assert repr(data) == "EventFrames(nmnist, test: 10 samples of 4 frames of 2 x 34 x 34)"


@pytest.mark.parametrize("workers", [0, 2])
def test_batches(nmnist, workers):
    data = load(nmnist, validation=0)
    order = torch.tensor([7, 1, 28, 0, 7])
    found = list(batches(data, 2, order=order, num_workers=workers))
    assert [frames.shape for frames, _ in found] == [(2, 4, 2, 34, 34)] * 2 + [(1, 4, 2, 34, 34)]
    assert all(frames.dtype == torch.int16 for frames, _ in found)
    assert torch.equal(torch.cat([frames for frames, _ in found]), torch.stack([data[int(i)][0] for i in order]))
    assert torch.cat([labels for _, labels in found]).tolist() == [2, 0, 9, 0, 2]


def test_splits_are_disjoint_and_fixed(nmnist):
    parts = {split: load(nmnist, split, validation=0.4) for split in ("train", "valid", "test")}
    names = {split: [recording.name for recording in data.recordings] for split, data in parts.items()}
    assert {split: len(data) for split, data in parts.items()} == {"train": 20, "valid": 10, "test": 10}
    assert len(set().union(*names.values())) == 40
    assert parts["valid"].labels.tolist() == list(range(10))
    assert len({data.split_hash for data in parts.values()}) == 3
    assert load(nmnist, "valid", validation=0.4).split_hash == parts["valid"].split_hash
    assert load(nmnist, "valid", validation=0.4, seed=1).split_hash != parts["valid"].split_hash
    assert load(nmnist, "test", validation=0, seed=1).split_hash == parts["test"].split_hash


def test_a_set_without_a_test_split_gets_one(tmp_path):
    write_synthetic("cifar10dvs", tmp_path, train=3, test=1)
    parts = [load_events("cifar10dvs", split, T=2, root=tmp_path) for split in ("train", "valid", "test")]
    assert [len(data) for data in parts] == [20, 10, 10]
    assert len({recording.path for data in parts for recording in data.recordings}) == 40
    assert parts[0].class_names[0] == "airplane"


def test_files_of_spikingjelly_are_read_where_they_lie(tmp_path):
    folder = write_synthetic("nmnist", tmp_path / "a", train=1, test=1)
    (tmp_path / "NMNIST").mkdir()
    folder.rename(tmp_path / "NMNIST" / "extract")
    (tmp_path / "NMNIST" / "download").mkdir()
    assert len(load(tmp_path, "test")) == 10


def test_subjects_are_held_out_whole(tmp_path):
    write_synthetic("dvs128", tmp_path, train=5, test=1)
    parts = {split: load_events("dvs128", split, T=2, root=tmp_path) for split in ("train", "valid", "test")}
    subjects = {split: {recording.group for recording in data.recordings} for split, data in parts.items()}
    assert [len(parts[split]) for split in parts] == [44, 11, 11]  # at least one of 5
    assert [len(subjects[split]) for split in subjects] == [4, 1, 1]
    assert set.union(*subjects.values()) == {f"user{i:02d}" for i in range(1, 7)}


def test_sizes_and_classes_are_known_without_files(tmp_path):
    for name, events in EVENT_SETS.items():
        write_synthetic(name, tmp_path, train=1, test=1)
        assert events.classes == len(events.find(name, tmp_path).class_names)


# the cache


def test_recordings_are_read_once(nmnist, reads):
    first = load(nmnist, validation=0)
    assert len(reads) == 30 == len(entries(nmnist))
    frames, _ = first.read(range(30))
    assert len(reads) == 30
    again, _ = load(nmnist, validation=0).read(range(30))
    assert len(reads) == 30 and torch.equal(frames, again)


def test_splits_share_entries(nmnist, reads):
    load(nmnist, validation=0)
    load(nmnist, "valid", validation=0.5)
    assert len(reads) == 30


@pytest.mark.parametrize("changed", [{"T": 5}, {"by": "time"}])
def test_other_frames_are_other_entries(nmnist, reads, changed):
    load(nmnist, validation=0)
    data = load(nmnist, validation=0, **changed)
    assert len(reads) == 60 == len(entries(nmnist))
    events = EVENT_SETS["nmnist"].read(data.recordings[3].path)
    assert np.array_equal(data[3][0], to_frames(events, changed.get("T", 4), (34, 34), changed.get("by", "count")))


def test_a_changed_recording_is_read_again(nmnist, reads):
    data = load(nmnist, validation=0)
    path, before = data.recordings[4].path, data[4][0]
    events = EVENT_SETS["nmnist"].read(path)
    events["x"] = 33 - events["x"]
    write_atis(path, events)  # same size, another time of change
    reads.clear()
    data = load(nmnist, validation=0)
    assert reads == [path] and torch.equal(data[4][0], before.flip(-1))


def test_a_changed_recording_of_the_same_size_and_date_is_read_again(nmnist, reads):
    """As `cp -p`, rsync or an unpacker leaves it."""
    data = load(nmnist, validation=0)
    path, before = data.recordings[4].path, data[4][0]
    date = path.stat().st_mtime_ns
    events = EVENT_SETS["nmnist"].read(path)
    events["x"] = 33 - events["x"]
    write_atis(path, events)
    os.utime(path, ns=(date, date))
    reads.clear()
    data = load(nmnist, validation=0)
    assert reads == [path] and torch.equal(data[4][0], before.flip(-1))


def test_a_moved_or_touched_set_is_not_read_again(nmnist, reads, tmp_path):
    """What counts is in the files: equal ones have one entry, wherever they lie."""
    first = load(nmnist, validation=0, cache=tmp_path / "frames")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(nmnist / "NMNIST", elsewhere / "NMNIST")
    reads.clear()
    again = load(elsewhere, validation=0, cache=tmp_path / "frames")
    assert reads == []
    assert torch.equal(again.read(range(30))[0], first.read(range(30))[0])
    assert again.content_hash == first.content_hash != load(nmnist, "test", cache=tmp_path / "frames").content_hash


def test_a_recording_that_changes_while_it_is_in_use_is_named(nmnist):
    data = load(nmnist, "test")
    path = data.recordings[3].path
    data.cache.entry(data.recordings[3]).unlink()
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} has changed while it was in use; start again$"):
        data[3]


FILL = """
import sys
from unittest import mock
from fsvae_tcja.data.events import load_events
with mock.patch("os.getpid", lambda: 1):  # as the first process of every container
    print(load_events("nmnist", "train", T=4, root=sys.argv[1], validation=0).read(range(30))[0].sum().item())
"""


def test_containers_may_fill_one_cache(nmnist):
    given = [sys.executable, "-c", FILL, str(nmnist)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": Path(__file__).parents[3]}
    started = [subprocess.Popen(given, **pipes) for _ in range(3)]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert len({out for out, _ in ended}) == 1
    assert len(entries(nmnist)) == 30 == len(list((nmnist / ".cache" / "events" / "nmnist-T4-count").iterdir()))
    assert int(ended[0][0]) == load(nmnist, validation=0).read(range(30))[0].sum()


@pytest.mark.parametrize("damage", ["empty", "truncated", "longer", "garbage", "too few", "too many", "gone"])
def test_a_damaged_entry_is_made_anew(nmnist, reads, damage):
    data = load(nmnist, "test")
    expected = data[3][0]
    entry = data.cache.entry(data.recordings[3])
    whole = entry.read_bytes()
    entry.write_bytes(
        {
            "empty": b"",
            "truncated": whole[:-1],
            "longer": whole + b"\0",
            "garbage": np.random.default_rng(0).bytes(1000),
            "too few": zlib.compress(bytes(4 * 2 * 34 * 33 * 2)),
            "too many": zlib.compress(bytes(4 * 2 * 34 * 35 * 2)),
            "gone": whole,
        }[damage]
    )
    if damage == "gone":
        entry.unlink()
    reads.clear()
    assert torch.equal(data[3][0], expected)
    assert reads == [data.recordings[3].path]
    assert torch.equal(data[3][0], expected) and len(reads) == 1


def test_no_damaged_entry_is_believed(nmnist):
    """A byte of an entry changed, at any place: its frames are right, or it is made anew."""
    data = load(nmnist, "test")
    entry, expected = data.cache.entry(data.recordings[0]), data[0][0]
    whole = entry.read_bytes()
    for place in range(0, len(whole), 3):
        entry.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        assert torch.equal(data[0][0], expected)


def test_an_interrupted_reading_goes_on_where_it_stopped(nmnist, reads):
    broken = nmnist / "NMNIST" / "Test" / "6" / "00000.bin"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-2])
    with pytest.raises(ValueError, match="is truncated"):
        load(nmnist, "test")
    assert len(entries(nmnist)) == 6 and not list(nmnist.rglob("*.tmp"))
    broken.write_bytes(whole)
    reads.clear()
    load(nmnist, "test")
    assert [path.parent.name for path in reads] == ["6", "7", "8", "9"]


def test_a_folder_for_the_cache(nmnist, tmp_path):
    load(nmnist, "test", cache=tmp_path / "frames")
    assert len(list((tmp_path / "frames").rglob("*.frames"))) == 10 and not (nmnist / ".cache").exists()


def test_a_cache_that_cannot_be_written(nmnist, tmp_path):
    (tmp_path / "file").write_text("")
    message = r"frames cannot be kept in .*file.*; point --data-root \(root=, or cache=\) to a folder that can be"
    with pytest.raises(OSError, match=message):
        load(nmnist, "test", cache=tmp_path / "file")


def test_a_cache_that_may_not_be_written(nmnist, monkeypatch):
    def refuse(path, data):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match=r"frames cannot be kept in .*nmnist-T4-count .*denied.*; point --data-root"):
        load(nmnist, "test")
    assert not entries(nmnist)


# files that are no recordings


def test_hidden_and_other_files_are_passed_over_and_told(nmnist, caplog):
    expected = load(nmnist, "test")
    folder = nmnist / "NMNIST" / "Test"
    for name in ("._0", ".DS_Store", "@eaDir", "__MACOSX"):
        (folder / name).mkdir()
    for name in ("3/._00000.bin", "3/.hidden.bin", "4/Thumbs.db", "4/notes.txt", "5/README", "@eaDir/00000.bin"):
        (folder / name).write_bytes(b"no recording")
    once.warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        data = load(nmnist, "test")
    assert [r.name for r in data.recordings] == [r.name for r in expected.recordings]
    assert data.split_hash == expected.split_hash
    line = "nmnist: passed over hidden or of the system (7), .txt (1), without an extension (1)"
    assert data.notes == (line,) and [record.message for record in caplog.records] == [line]
    assert expected.notes == ()


def test_a_recording_that_a_link_leads_to_counts_once(nmnist):
    folder = nmnist / "NMNIST" / "Test" / "3"
    (folder / "again.bin").symlink_to(folder / "00000.bin")
    (folder / "up").symlink_to(folder.parent)
    data = load(nmnist, "test")
    assert [r.name for r in data.recordings if r.label == 3] == ["Test/3/00000.bin"]
    (line,) = data.notes
    assert line == "nmnist: passed over reached again through a link (1), links that lead back up (1)"


def test_copies_of_recordings_stay_on_one_side(tmp_path):
    """As a file manager names them: of every recording of a class three files with the same bytes."""
    for path in [*write_synthetic("cifar10dvs", tmp_path, train=6, test=1).rglob("*.aedat")]:
        for n in (1, 2):
            shutil.copy(path, path.with_name(f"{path.stem} ({n}).aedat"))
    parts = [load_events("cifar10dvs", split, T=2, root=tmp_path) for split in ("train", "valid", "test")]
    assert sum(map(len, parts)) == 210 and all(len(part) % 3 == 0 for part in parts)
    seen = [{recording.path.read_bytes() for recording in part.recordings} for part in parts]
    assert [len(contents) for contents in seen] == [50, 10, 10] and len(set().union(*seen)) == 70
    assert parts[0].notes == ("cifar10dvs: copies of other recordings: 140; in test, but also in train: 0",)


def test_copies_between_published_splits_are_told(nmnist):
    folder = nmnist / "NMNIST"
    shutil.copy(folder / "Train/3/00000.bin", folder / "Test/3/copy.bin")
    assert load(nmnist, "test").notes == ("nmnist: copies of other recordings: 1; in test, but also in train: 1",)


def test_names_that_are_not_utf8(nmnist):
    folder = nmnist / "NMNIST" / "Test" / "3"
    name = os.fsdecode(b"caf\xe9.bin")
    (folder / "00000.bin").rename(folder / name)
    data = load(nmnist, "test")
    assert data.recordings[3].path == folder / name and data[3][1] == 3
    assert len(data.split_hash) == 16


# what is wrong


def test_unknown_names_and_settings(tmp_path):
    names = "'dvs128', 'cifar10dvs', 'ncaltech101', 'nmnist', 'synthetic-events'"
    with pytest.raises(
        ValueError, match=rf"unknown event set 'dvs' \(did you mean 'dvs128'\?\): choose one of \[{names}\]"
    ):
        load_events("dvs", "train", T=4, root=tmp_path)
    with pytest.raises(ValueError, match=r"split must be one of .*, found 'dev'"):
        load_events("nmnist", "dev", T=4, root=tmp_path)


def test_wrong_slicing_is_told_without_a_file(nmnist):
    with pytest.raises(ValueError, match=r"^T must be at least 1 frame, found 0"):
        load(nmnist, T=0)
    with pytest.raises(ValueError, match=r"^by must be one of \['count', 'time'\]"):
        load(nmnist, by="number")


@pytest.mark.parametrize(
    ("name", "file", "page"),
    [
        ("dvs128", "DvsGesture/trials_to_train.txt", "research.ibm.com"),
        ("cifar10dvs", "CIFAR10DVS", "figshare.com"),
        ("ncaltech101", "NCALTECH101/Caltech101", "garrickorchard.com"),
        ("nmnist", "NMNIST/Train", "garrickorchard.com"),
    ],
)
def test_missing_files_are_named_with_place_and_page(tmp_path, name, file, page):
    with pytest.raises(FileNotFoundError) as error:
        load_events(name, "train", T=4, root=tmp_path)
    message = str(error.value)
    assert message.startswith(f"{name}: missing {tmp_path / file}\n")
    assert page in message and "--data-root" in message and "$FSVAE_TCJA_DATA" in message
    assert not list(tmp_path.iterdir())


def test_a_missing_class_folder_is_named(nmnist):
    (nmnist / "NMNIST" / "Test" / "4").rename(nmnist / "4")
    with pytest.raises(FileNotFoundError, match=re.escape(f"nmnist: missing {nmnist}/NMNIST/Test/4\n")):
        load(nmnist)


def test_an_empty_class_folder(nmnist):
    folder = nmnist / "NMNIST" / "Train" / "7"
    for file in folder.iterdir():
        file.rename(file.with_suffix(".bak"))
    with pytest.raises(ValueError, match=re.escape(f"the class folder {folder} is empty: expected *.bin; unpack it")):
        load(nmnist)


def test_a_label_out_of_range(nmnist):
    (nmnist / "NMNIST" / "Train" / "10").mkdir()
    with pytest.raises(ValueError, match=r"NMNIST/Train has a class folder '10', expected 0, 1, .*, 9; move it away"):
        load(nmnist)


def test_a_wrong_number_of_classes(tmp_path):
    for i in range(100):
        (tmp_path / "NCALTECH101" / "Caltech101" / str(i)).mkdir(parents=True)
    with pytest.raises(ValueError, match="Caltech101 must hold 101 class folders, found 100; unpack it again"):
        load_events("ncaltech101", "train", T=4, root=tmp_path)


def test_a_corrupt_recording_is_named(nmnist):
    path = nmnist / "NMNIST" / "Train" / "3" / "00001.bin"
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is damaged: time runs backwards"):
        load(nmnist, validation=0)


def test_a_recording_of_another_sensor_is_named(nmnist):
    path = nmnist / "NMNIST" / "Train" / "3" / "00001.bin"
    events = EVENT_SETS["nmnist"].read(path)
    events["x"][5] = 200
    write_atis(path, events)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .* 34 x 34 .*, found x = 0 to 200; is this the"):
        load(nmnist, validation=0)


def test_a_recording_too_short_for_T_is_named(nmnist):
    path = nmnist / "NMNIST" / "Train" / "3" / "00001.bin"
    path.write_bytes(path.read_bytes()[:15])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: 3 events are too few for 4 frames"):
        load(nmnist, validation=0)


@pytest.fixture
def gestures(tmp_path):
    return write_synthetic("dvs128", tmp_path, train=1, test=1)


def load_gestures(folder):
    return load_events("dvs128", "train", T=2, root=folder.parent, validation=0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,1000,2000", "line 13: the class must be in 1..11, found 0"),
        ("12,1000,2000", "line 13: the class must be in 1..11, found 12"),
        ("3,2000,2000", "line 13: expected 0 <= start < end, found 2000 and 2000"),
        ("3,-5,2000", "line 13: expected 0 <= start < end, found -5 and 2000"),
        ("3,1000", "line 13: expected three whole numbers, found '3,1000'"),
        ("a,b,c", "line 13: expected three whole numbers, found 'a,b,c'"),
    ],
)
def test_damaged_tables_of_labels(gestures, row, message):
    table = gestures / "user01_lab_labels.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ValueError, match=re.escape(f"{table}, {message}")):
        load_gestures(gestures)


@pytest.mark.parametrize("text", ["", "<html>\n1,2,3\n"])
def test_no_table_of_labels(gestures, text):
    (gestures / "user01_lab_labels.csv").write_text(text)
    with pytest.raises(ValueError, match=r"_labels\.csv is no table of labels: expected the first line 'class,"):
        load_gestures(gestures)


def test_a_table_without_gestures(gestures):
    table = gestures / "user01_lab_labels.csv"
    table.write_text("class,startTime_usec,endTime_usec\n\n")
    with pytest.raises(ValueError, match=f"^{re.escape(str(table))} names no gesture"):
        load_gestures(gestures)


def test_a_gesture_without_events_is_named(gestures):
    table = gestures / "user01_lab_labels.csv"
    table.write_text(table.read_text() + "3,1000,2000\n")
    place = f"{gestures / 'user01_lab.aedat'}, 1000 to 2000 microseconds: 0 events are too few for 2 frames"
    with pytest.raises(ValueError, match=re.escape(place)):
        load_gestures(gestures)


def test_files_behind_a_list_are_missing(gestures):
    (gestures / "trials_to_train.txt").write_text("user01_lab.aedat\nuser07_led.aedat\n\n")
    with pytest.raises(FileNotFoundError) as error:
        load_gestures(gestures)
    first = f"dvs128: missing {gestures / 'user07_led.aedat'}, the first of 2 missing files of the 4 behind trials_to_"
    assert str(error.value).startswith(first) and "DvsGesture.tar.gz" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "trials_to_train.txt is empty"),
        ("../../secret.aedat\n", "must name an .aedat file per line, found '../../secret.aedat'"),
        ("<html>\n", "must name an .aedat file per line, found '<html>'"),
    ],
)
def test_damaged_lists_of_trials(gestures, text, message):
    (gestures / "trials_to_train.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        load_gestures(gestures)


def test_importing_needs_no_tonic():
    program = (
        "import sys; sys.modules['tonic'] = None\nimport classifiers.data, fsvae_tcja.data.events, classifiers.augment"
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
