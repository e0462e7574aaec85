"""Names with a split, and what a folder holds."""

import itertools
import re

import pytest
from PIL import Image

from eval.opening import open_images
from fsvae_tcja.data import inspect_folder, load_images, located, parse_name
from fsvae_tcja.data.names import short_name

LEVELS = itertools.cycle(range(256))


def save(path, mode="L", size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, next(LEVELS)).save(path)  # all different


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mnist", ("mnist", None)),
        ("mnist:test", ("mnist", "test")),
        ("dvs128:valid", ("dvs128", "valid")),
        ("mnist:", ("mnist", None)),
        ("photos", ("photos", None)),
        ("photos:test", ("photos", "test")),
        ("./photos:all", ("./photos", "all")),
        ("a:b", ("a:b", None)),
        ("a:b:train", ("a:b", "train")),
        ("nowhere:test", ("nowhere:test", None)),
        (":test", (":test", None)),
    ],
)
def test_parse_name(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "a:b").mkdir()
    assert parse_name(text) == expected


def test_located(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert located("mnist") == "mnist" and located("dvs128") == "dvs128"
    assert located("photos") == str(tmp_path / "photos") and located("./mnist") == str(tmp_path / "mnist")
    with pytest.raises(ValueError, match=r"unknown data set 'nmist' \(did you mean '.*mnist'\?\): choose one of"):
        located("nmist")


def test_a_folder_says_what_a_model_for_it_needs(tmp_path):
    for name in ("train/cat/1.png", "train/dog/2.png", "test/dog/3.png", "valid/4.png"):
        save(tmp_path / name, size=(20, 20))
    found = inspect_folder(tmp_path)
    assert (len(found), found.channels, found.size, found.class_names) == (4, 1, 20, ["cat", "dog"])
    assert {split: len(files) for split, files in found.files.items()} == {"train": 2, "test": 1, "valid": 1, "all": 4}
    assert load_images(tmp_path, size=None).shape == (1, 20, 20)
    save(tmp_path / "test/cat/5.png", "RGB", (20, 20))
    assert inspect_folder(tmp_path).channels == 3


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_not_the_working_folder(tmp_path, monkeypatch, name):
    """As an unset variable of a shell gives it."""
    save(tmp_path / "1.png")
    monkeypatch.chdir(tmp_path)
    for use in (load_images, located, open_images):
        with pytest.raises(ValueError, match=r"the name of a data set or folder is empty; the working folder is .* \."):
            use(name)
    assert len(load_images(".", "all")) == 1


@pytest.mark.parametrize(("sizes", "found"), [([(8, 8), (9, 9)], "8 x 8, 9 x 9"), ([(8, 6)], "8 x 6")])
def test_images_without_one_size_are_refused_unless_one_is_given(tmp_path, sizes, found):
    for i, size in enumerate(sizes):
        save(tmp_path / f"{i}.png", size=size)
    message = f"the images in {tmp_path} are not all square and of one size: found {found} pixels; say to which size"
    with pytest.raises(ValueError, match=re.escape(message) + r" .* --size"):
        load_images(tmp_path, "all", size=None)
    assert load_images(tmp_path, "all", size=4).shape == (1, 4, 4)


@pytest.mark.parametrize(("name", "side"), [("digits", 10)])
def test_the_size_of_a_set_itself(name, side):
    assert load_images(name, size=None).size == side


@pytest.mark.parametrize(("name", "title"), [("mnist", "mnist"), ("/home/a/photos", "photos"), ("photos/", "photos")])
def test_a_title_shows_the_last_part_of_a_path(name, title):
    assert short_name(name) == title
