import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.curves import save_curves
from fsvae_tcja.runtime.export import save_array, save_folder
from fsvae_tcja.runtime.pictures import save_grid
from fsvae_tcja.utils.atomic import check_place, check_writable, leftovers, replacing, replacing_folder, write_json

IMAGES = torch.zeros(2, 1, 4, 4)
WRITERS = {
    "a.safetensors": lambda path: checkpoint.write(path, {"x": torch.zeros(2)}, {}),
    "a.json": lambda path: write_json(path, {}),
    "a.png": lambda path: save_grid(IMAGES, path),
    "curves.png": lambda path: save_curves([{"step": 1, "loss": 1.0}], path),
    "a.npz": lambda path: save_array([IMAGES], path),
    "folder": lambda path: save_folder([IMAGES], path),
}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077], indirect=True)
@pytest.mark.parametrize("name", WRITERS)
def test_modes_follow_the_umask(tmp_path, umask, name):
    WRITERS[name](tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert mode(tmp_path / name) == (0o777 if name == "folder" else 0o666) & ~umask
    assert all(mode(file) == 0o666 & ~umask for file in (tmp_path / "folder").glob("*"))


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of tw")
        raise RuntimeError
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_that_is_prepared_is_replaced_and_not_followed(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "a.txt"
    victim.write_text("precious")
    path.symlink_to(victim)
    with replacing(path) as temporary:
        temporary.write_text("one")
    assert victim.read_text() == "precious" and path.read_text() == "one" and not path.is_symlink()


def test_temporary_names_cannot_be_foreseen_and_are_known_afterwards(tmp_path):
    names = set()
    for _ in range(3):
        with replacing(tmp_path / "a.txt") as temporary, replacing_folder(tmp_path / "folder") as folder:
            names |= {temporary.parent.name, folder.parent.name}
            assert set(leftovers(tmp_path).values()) == {"a.txt", "folder"}
            temporary.touch()
        (tmp_path / "folder").rmdir()
    assert len(names) == 6
    assert leftovers(tmp_path) == {} and leftovers(tmp_path / "nothing") == {}


@pytest.mark.parametrize("path", ["", "folder/..", "a.jpg"])
def test_what_names_no_such_file_is_refused(path):
    with pytest.raises(ValueError, match=r"cannot write .*: its name must end in \.png"), replacing(path, ".png"):
        pass


def test_data_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    """The order of fsync of the file, rename, fsync of the folder."""
    calls = []
    monkeypatch.setattr(os, "fsync", lambda number: calls.append(os.readlink(f"/proc/self/fd/{number}")))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("one")
    assert calls == [str(temporary), "rename", str(tmp_path)]
    with replacing(tmp_path / "b.txt", durable=False) as temporary:
        temporary.write_text("two")
    assert calls[3:] == ["rename"]


def test_an_array_survives_a_kill_in_the_middle_of_its_replacement(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros(3))
    before = path.read_bytes()
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from fsvae_tcja.utils.atomic import replacing\n"
        "with replacing(sys.argv[1], '.npz') as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert list(leftovers(tmp_path).values()) == ["a.npz"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", r"cannot write .*a\.jpg: its name must end in \.png"),
        ("taken.png", r"cannot write .*taken\.png: it is a folder; name a file"),
        ("file/a.png", r"cannot write .*: .*file is no folder that may be written to"),
    ],
)
def test_a_place_is_refused_before_there_is_anything_to_write(tmp_path, name, found):
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=found):
        check_writable(tmp_path / name, ".png")
    check_writable(tmp_path / "new" / "A.PNG", ".png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="is no folder that may be written to"):
        check_place(tmp_path / "new" / "a.png")


def test_the_root_of_all_folders_is_a_place():
    if os.access("/", os.W_OK):
        check_place(Path("/"))
