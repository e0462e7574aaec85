"""Which files below a folder count, and data sets that are told apart by their contents."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from fsvae_tcja.data import MemoryImages, Subset, load_images
from fsvae_tcja.data.listing import in_words, is_debris, list_files
from fsvae_tcja.utils.printable import shown


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def listed(folder):
    found = list_files(folder, lambda name: name.endswith(".x"))
    return [str(name) for name in found.files], dict(found.passed_over)


HIDDEN, AGAIN, UP, LOST = (
    "hidden or of the system",
    "reached again through a link",
    "links that lead back up",
    "links to nothing",
)


@pytest.mark.parametrize("name", [".DS_Store", "._1.x", ".hidden", "@eaDir", "__MACOSX", "Thumbs.db", "THUMBS.DB"])
def test_debris(tmp_path, name):
    assert is_debris(name)
    fill(tmp_path, "a.x", f"b/{name}", f"{name}.d/c.x" if name.startswith(".") else f"{name}/c.x")
    assert listed(tmp_path) == (["a.x"], {HIDDEN: 2})


@pytest.mark.parametrize("name", ["a.png", "_a", "@home", "a.", "macosx"])
def test_no_debris(name):
    assert not is_debris(name)


def test_what_is_passed_over_is_counted(tmp_path):
    fill(tmp_path, "a.x", "b/c.x", "d.txt", "e.TXT", "f")
    os.mkfifo(tmp_path / "g.x")
    assert listed(tmp_path) == (["a.x", "b/c.x"], {".txt": 2, "without an extension": 1, "no regular files": 1})
    found = list_files(tmp_path, lambda name: name.endswith(".x"))
    assert in_words(found.passed_over) == ".txt (2), without an extension (1), no regular files (1)"


def test_links_give_no_file_twice_and_end(tmp_path):
    root = fill(tmp_path / "root", "a/1.x", "a/2.x", "b/3.x")
    fill(tmp_path, "root-of-others/9.x", "elsewhere/4.x", "elsewhere/5.x")
    (root / "up").symlink_to("..")  # holds others too
    (root / "a" / "itself").symlink_to(".")
    (root / "b" / "top").symlink_to(root)
    (root / "0").symlink_to("a")  # sorted before it
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "b" / "1.x").symlink_to("../a/1.x")
    (root / "b" / "6.x").symlink_to("nowhere")
    (root / "p").symlink_to("q")
    (root / "q").symlink_to("p")
    files, passed_over = listed(root)
    assert files == ["a/1.x", "a/2.x", "b/3.x", "c/4.x", "c/5.x"]
    assert passed_over == {UP: 3, AGAIN: 3, LOST: 3}


def test_a_second_name_of_one_file_counts_once(tmp_path):
    fill(tmp_path, "b/1.x")
    (tmp_path / "a.x").hardlink_to(tmp_path / "b" / "1.x")
    assert listed(tmp_path) == (["a.x"], {AGAIN: 1})


def test_a_folder_that_is_a_link_itself(tmp_path):
    fill(tmp_path / "here", "a/1.x")
    (tmp_path / "there").symlink_to("here")
    assert listed(tmp_path / "there") == (["a/1.x"], {})


def test_names_that_are_not_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9\n.x")
    fill(tmp_path, "ö.x")
    (tmp_path / name).write_bytes(b"")
    assert listed(tmp_path)[0] == [name, "ö.x"]
    assert shown(tmp_path / name) == f"{tmp_path}/caf\\xe9\\x0a.x" and shown("ö ß") == "ö ß"


# contents


def images(values, labels, split="train"):
    pixels = torch.tensor(values, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return MemoryImages("toy", split, pixels, torch.tensor(labels), 2)


def test_the_hash_of_contents_follows_pixels_labels_and_order_alone():
    one = images([1, 2, 3], [0, 1, 1])
    assert len(one.content_hash) == 64 and int(one.content_hash, 16)
    assert one.content_hash == images([1, 2, 3], [0, 1, 1], "test").content_hash
    others = [images([1, 2, 4], [0, 1, 1]), images([1, 2, 3], [0, 0, 1]), images([2, 1, 3], [1, 0, 1])]
    assert len({data.content_hash for data in [one, *others, images([1, 2], [0, 1])]}) == 5
    part = Subset(images([9, 1, 2, 3], [1, 0, 1, 1]), torch.tensor([1, 2, 3]))
    assert part.content_hash == one.content_hash


def test_the_hash_of_a_folder_follows_its_files(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for i in range(3):
            Image.fromarray(np.full((8, 8), 9 * i, np.uint8)).save(tmp_path / folder / f"{i}.png")
    one, two = (load_images(tmp_path / folder, "all") for folder in ("one", "two"))
    assert one.content_hash == two.content_hash == load_images(tmp_path / "one", "all", size=16).content_hash
    Image.fromarray(np.full((8, 8), 1, np.uint8)).save(tmp_path / "two" / "1.png")
    assert load_images(tmp_path / "two", "all").content_hash != one.content_hash
