"""Folders and files as people have them: what is understood is right and told, or refused with what to do."""

import itertools
import os
import pickle
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.config import ClassifierConfig
from classifiers.data import load_split
from fsvae_tcja.data import (
    IMAGE_SETS,
    MemoryImages,
    inspect_folder,
    load_images,
    located,
    parse_name,
    split_off,
)
from fsvae_tcja.data.image_sets import status
from fsvae_tcja.data.splits import validation_split, whole_groups

from .test_images import noise, write_celeba

SEEDS = itertools.count(1)


def save(folder, *names, like=None):
    """Grey images of 8 x 8, no two equal; or all equal to `like`."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(8, 8, seed=next(SEEDS)) if like is None else like).save(path)
    return folder


def numbered(folder, n, extension="png"):
    return [f"{folder}/{i}.{extension}" for i in range(n)]


def names(data):
    return sorted("/".join(path.parts[-2:]) for path in data.paths)


@pytest.fixture
def told(caplog):
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("fsvae_tcja.data")]


# layouts


@pytest.mark.parametrize("val", ["val", "valid", "VALIDATION", "Test"])
@pytest.mark.parametrize("train", ["train", "TRAIN"])
def test_classes_within_splits(tmp_path, told, train, val):
    """The data set of PyTorch's tutorial on transfer learning."""
    hymen = save(
        tmp_path / "hymen",
        *numbered(f"{train}/ants", 3),
        *numbered(f"{train}/bees", 4),
        *numbered(f"{val}/ants", 2),
        *numbered(f"{val}/bees", 1),
    )
    data, test = load_images(hymen, "train", size=8), load_images(hymen, "test", size=8)
    assert names(data) == [*numbered("ants", 3), *numbered("bees", 4)]
    assert data.class_names == ("ants", "bees") and data.labels.tolist() == [0] * 3 + [1] * 4
    assert names(test) == [*numbered("ants", 2), *numbered("bees", 1)] and test.labels.tolist() == [0, 0, 1]
    assert {path.parts[-3] for path in data.paths} == {train} and {path.parts[-3] for path in test.paths} == {val}
    instead = "" if val == "Test" else f"; no test/: {val}/ is the test split"
    split = "test" if val == "Test" else "valid"
    assert told() == [
        f"{hymen}: splits train 7 ({train}/), {split} 3 ({val}/); 2 classes (ants, bees){instead}"
    ]  # once for both
    assert data.notes == test.notes == tuple(told())


def test_training_never_sees_what_is_held_out(tmp_path):
    """A classifier's validation split is val/ where there is a test/ too, else a part of train/."""
    config = ClassifierConfig("FC2", T=2, shape=(1, 8, 8), classes=2)
    folder = save(tmp_path, *numbered("train/a", 10), *numbered("train/b", 10), *numbered("val/a", 3))
    save(folder, *numbered("val/b", 2))

    def parts():
        found = {split: load_split(str(folder), split, config) for split in ("train", "valid", "test")}
        assert torch.equal(found["test"].labels, torch.tensor([0, 0, 0, 1, 1]))
        return [len(data) for data in found.values()]

    assert parts() == [18, 2, 5] and len(load_images(folder, "val", size=8)) == 5
    (folder / "val").rename(folder / "test")
    save(folder, *numbered("Val/a", 4), *numbered("Val/b", 4))
    assert parts() == [20, 8, 5]


def test_a_folder_of_a_split_without_images_is_none(tmp_path):
    folder = save(tmp_path, *numbered("train/a", 10), *numbered("train/b", 10), *numbered("test/a", 2))
    (folder / "val").mkdir()
    (folder / "val" / "labels.csv").write_text("1")
    assert len(load_images(folder, "valid", size=8, validation=0.1)) == 2


def test_splits_and_their_names(tmp_path):
    save(tmp_path, *numbered("training/a", 3), *numbered("Validation/a", 2), *numbered("testing/a", 1), "preview.png")
    lengths = {"train": 3, "val": 2, "valid": 2, "Validation": 2, "test": 1, "all": 6}
    assert {split: len(load_images(tmp_path, split, size=8)) for split in lengths} == lengths
    assert parse_name(f"{tmp_path}:val") == (str(tmp_path), "val")
    assert f"{tmp_path}: passed over: images beside the folders of the splits (1)" in load_images(tmp_path, "all").notes


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/1.png", "ants/1.png"], r"has images in train/, which name splits, beside ants/, .* train/ants/"),
        (["train/1.png", "test/1.png", "dev/1.png"], r"test/, train/, which name splits, beside dev/"),
        (["ants/train/1.png", "bees/val/1.png"], r"in ants/train/, .* a split comes first, .* as in train/cats/"),
        (["hymen/train/1.png", "hymen/val/1.png"], r"in hymen/train/, .*: name .*/hymen instead"),
        (["train/test/1.png"], r"has images in train/test/, where the name of a split stands within another folder"),
        (["train/1.png", "val/1.png", "valid/1.png"], r"train/, val/, valid/, two of which name one split: merge"),
        (["Train/1.png", "train/1.png"], r"Train/, train/, two of which name one split"),
        (["training_set/a/1.png", "test_set/a/1.png"], r"test_set/, training_set/, which may name splits or classes"),
        (["train2017/1.png", "val2017/1.png", "extra/1.png"], r"train2017/, val2017/, which may .*: rename splits to "),
        (["trainA/1.png", "trainB/1.png", "testA/1.png"], r"testA/, trainA/, trainB/, which may name"),
        (["DIV2K_TRAIN_HR/1.png", "DIV2K_valid_HR/1.png"], r"DIV2K_TRAIN_HR/, DIV2K_valid_HR/, which may name"),
        (["trainset/1.png", "TestSet/1.png"], r"TestSet/, trainset/, which may name"),
    ],
)
def test_names_that_mix_splits_and_classes_are_refused(tmp_path, files, message):
    save(tmp_path, *files)
    with pytest.raises(ValueError, match=message):
        load_images(tmp_path, "train")


def test_classes_may_have_a_word_of_a_split_in_their_names(tmp_path):
    save(tmp_path, *numbered("train_station", 2), *numbered("restaurant", 2), *numbered("contest", 2))
    assert load_images(tmp_path, "all", size=8).class_names == ("contest", "restaurant", "train_station")


def test_classes_that_the_training_split_lacks_are_told(tmp_path):
    """As Tiny ImageNet is unpacked: the images of val/ lie in one folder, beside a list of their classes."""
    save(tmp_path, *numbered("train/a", 2), *numbered("train/b", 2), *numbered("val/images", 3))
    note = f"{tmp_path}: classes that train does not have: 1 (images), of 3 images"
    assert note in load_images(tmp_path, "val", size=8).notes
    (tmp_path / "val/images").rename(tmp_path / "val/a")
    assert not any("does not have" in note for note in load_images(tmp_path, "val", size=8).notes)


def test_folders_without_images_are_no_classes(tmp_path):
    save(tmp_path, *numbered("train", 3), *numbered("test", 2))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "labels.csv").write_text("1")
    data = load_images(tmp_path, "test", size=8)
    assert len(data) == 2 and data.classes is None
    assert data.notes == (
        f"{tmp_path}: splits train 3 (train/), test 2 (test/); no classes",
        f"{tmp_path}: passed over: .csv (1)",
    )


def test_a_folder_of_train_alone(tmp_path):
    save(tmp_path, *numbered("train/a", 10), *numbered("train/b", 10))
    train, test = load_images(tmp_path, "train"), load_images(tmp_path, "test")
    assert (len(train), len(test), train.class_names) == (18, 2, ("a", "b"))
    assert train.notes[0].endswith("the test split is 2 of the images, by the SHA-256 of their paths")


def test_a_split_that_is_not_there(tmp_path):
    save(tmp_path, *numbered("test/a", 2))
    with pytest.raises(ValueError, match=r"no image for the split 'train' in .*: splits test 2 .*; it has test, all"):
        load_images(tmp_path, "train")


def test_a_folder_without_splits_says_what_it_guessed(tmp_path):
    save(tmp_path, *numbered("a", 10), *numbered("b", 10))
    understood = (
        f"{tmp_path}: 20 images, no folders of splits (train/, test/); 2 classes (a, b); the test split is 2 of"
    )
    assert load_images(tmp_path, "train").notes[0].startswith(understood)
    assert load_images(tmp_path, "all", size=None).notes == ()  # nothing was guessed


# each file once, and copies on one side


def test_a_link_that_points_up_gives_no_image_twice(tmp_path):
    photos = save(tmp_path / "photos", *numbered(".", 30))
    save(tmp_path / "others", *numbered(".", 5))
    (photos / "up").symlink_to("..")
    (photos / "itself").symlink_to("itself")
    splits = [load_images(photos, split) for split in ("train", "test", "all")]
    assert [len(data) for data in splits] == [27, 3, 30]
    assert splits[0].notes[1] == f"{photos}: passed over: links to nothing (1), links that lead back up (1)"


def test_copies_stay_on_one_side(tmp_path):
    """Of every 20 names one group of copies, each written under three names."""
    for i in range(20):
        save(tmp_path, f"{i}.png", f"copy-{i}.png", f"again-{i}.png", like=noise(8, 8, seed=i))
    train, test = load_images(tmp_path, "train", size=8), load_images(tmp_path, "test", size=8)
    assert (len(train), len(test)) == (54, 6)  # a tenth, whole groups
    bytes_of = [{path.read_bytes() for path in data.paths} for data in (train, test)]
    assert len(bytes_of[0]) == 18 and len(bytes_of[1]) == 2 and not bytes_of[0] & bytes_of[1]
    assert "copies of other images: 40; they stay on one side of a split" in train.notes[1]
    rest, valid = split_off(train, 0.1)
    pixels = [{image.numpy().tobytes() for image, _ in data} for data in (rest, valid)]
    assert (len(rest), len(valid)) == (51, 3) and not pixels[0] & pixels[1]


def test_copies_between_splits_of_ones_own_are_told(tmp_path):
    save(tmp_path, "train/1.png", "test/2.png", like=noise(8, 8))
    save(tmp_path, "train/3.png", "test/4.png")
    data = load_images(tmp_path, "train")
    assert len(data) == 2 and "copies of other images: 1; outside of train, but also in it: 1" in data.notes[1]


def test_copies_in_memory_stay_on_one_side_of_a_validation_split(told):
    kinds = torch.from_numpy(np.random.default_rng(0).integers(0, 30, 200))  # of contents
    images = kinds.to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    data = MemoryImages("clones", "train", images, kinds % 2, 2)
    rest, valid = split_off(data, 0.2)
    assert len(rest) + len(valid) == 200 and 30 <= len(valid) <= 40

    assert not {*images[rest.indices, 0, 0, 0].tolist()} & {*images[valid.indices, 0, 0, 0].tolist()}
    assert told() == ["clones, train: 170 samples are copies of others; they stay on one side of the validation split"]


def test_copies_with_two_labels_stay_together():
    labels, contents = torch.tensor([0, 1] * 20), torch.arange(40) // 2
    train, valid = validation_split(labels, 0.25, 0, contents)
    assert len(valid) == 10 and not {*contents[train].tolist()} & {*contents[valid].tolist()}


@pytest.mark.parametrize(
    ("keys", "n", "chosen"),
    [
        ("abcde", 2, [0, 1]),
        ("aabcde", 2, [0, 1]),
        ("aaabcde", 2, [3, 4]),  # a does not fit
        ("abcbde", 2, [0, 2]),  # b does not fit any more
        ("aaabb", 1, [3, 4]),  # nothing fits: the smallest
        ("aaaa", 1, [0]),  # nothing to keep apart
        ("abc", 0, []),
    ],
)
def test_whole_groups(keys, n, chosen):
    assert [i for i, is_chosen in enumerate(whole_groups(keys, n)) if is_chosen] == chosen


# what reading does to pixels


def test_ink_in_the_alpha_channel_is_seen(tmp_path, told):
    for i, alpha in enumerate(noise(3, 8, 8)):
        Image.fromarray(np.dstack([np.zeros((8, 8, 3), np.uint8), alpha])).save(tmp_path / f"{i}.png")
    images, _ = load_images(tmp_path, "all", size=8).read([0, 1, 2])
    expected = torch.from_numpy(255 - noise(3, 8, 8))[:, None].expand(-1, 3, -1, -1)  # black ink on white
    assert (images.int() - expected.int()).abs().max() <= 1
    assert told() == [f"{tmp_path}: 3 of 3 images with an alpha channel or transparent colour, drawn on white"]


@pytest.mark.parametrize("kind", ["files", "memory"])
def test_images_that_are_all_equal_are_refused(tmp_path, monkeypatch, kind):
    if kind == "files":  # white ink on nothing
        for i, alpha in enumerate(noise(4, 8, 8)):
            Image.fromarray(np.dstack([np.full((8, 8, 3), 255, np.uint8), alpha])).save(tmp_path / f"{i}.png")
    else:
        same = MemoryImages("same", "all", torch.full((4, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(4).long(), 1)
        monkeypatch.setitem(IMAGE_SETS, "same", IMAGE_SETS["digits"].__class__(lambda *_: same, {"all": []}))
    with pytest.raises(ValueError, match=r"the 4 images of .*, all, are all equal, with pixels from 255 to 255 of 255"):
        load_images(tmp_path if kind == "files" else "same", "all", size=8)


@pytest.mark.parametrize(("orientation", "size"), [(1, (12, 8)), (3, (12, 8)), (6, (8, 12)), (8, (8, 12))])
@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
def test_turned_images_are_described_as_they_are_read(tmp_path, extension, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    bright_left = np.zeros((8, 12), np.uint8)
    bright_left[:, :6] = 255
    Image.fromarray(bright_left).convert("RGB").save(tmp_path / f"a.{extension}", exif=exif)
    found = inspect_folder(tmp_path)
    assert dict(found.sizes) == {size: 1}
    assert [note for note in found.notes if "EXIF" in note] == (
        [] if orientation == 1 else [f"{tmp_path}: 1 of 1 images turned as their EXIF orientation says"]
    )
    image = load_images(tmp_path, "all", size=8)[0][0].float().mean(0)
    middle = {1: image[:, 0], 3: image[:, -1], 6: image[0], 8: image[-1]}[orientation]  # where the bright side goes
    assert middle.mean() > 200


@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        (noise(8, 8) % 2, True),  # a mask
        (noise(8, 8) % 3, False),
        ((noise(8, 8).astype(np.uint16) * 257) // 16, True),  # 12 bits in 16
        (noise(8, 8).astype(np.uint16) * 257, False),
        (noise(8, 8).astype(np.float32) / 255 / 255, True),
        (noise(8, 8).astype(np.float32) / 255, False),
    ],
)
def test_next_to_black_images_are_told(tmp_path, values, is_told):
    Image.fromarray(values).save(tmp_path / "a.tif")
    notes = load_images(tmp_path, "all", size=8).notes
    assert any("no pixel of the 1 images looked at exceeds" in note for note in notes) == is_told


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([(8, 8), (8, 8)], None),
        ([(4, 4), (4, 4)], "from 4 x 4 pixels to 8 x 8, PIL bilinear"),
        ([(12, 9), (12, 9), (8, 8)], "from 12 x 9 pixels and 1 other size to 8 x 8, PIL bilinear, the central square"),
    ],
)
def test_what_is_enlarged_and_cut_is_told(tmp_path, sizes, said):
    for i, (width, height) in enumerate(sizes):
        Image.fromarray(noise(height, width, seed=i)).save(tmp_path / f"{i}.png")
    assert load_images(tmp_path, "all", size=8).notes == ((f"{tmp_path}: {said}",) if said else ())


def test_colours_of_16_bits_are_told(tmp_path):
    """A PNG written by hand, since Pillow writes none: 1 x 1, its colour (4660, 0, 65535)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = zlib.compress(b"\0" + struct.pack(">3H", 4660, 0, 65535))
    parts = [(b"IHDR", struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0)), (b"IDAT", pixel), (b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    data = load_images(tmp_path, "all", size=1)
    assert data[0][0].flatten().tolist() == [0x12, 0, 255]
    assert data.notes == (f"{tmp_path}: 1 of 1 images of 16 bits a channel, of which Pillow keeps the upper 8",)


def test_the_first_of_several_frames_is_told(tmp_path):
    frames = [Image.fromarray(noise(8, 8, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert f"{tmp_path}: 1 of 1 images of several frames, of which the first is taken" in inspect_folder(tmp_path).notes


# which files


READ = ["jfif", "jpe", "jpg", "JPEG", "avif", "jp2", "j2k", "mpo", "pgm", "pnm", "tga", "ico", "dib", "apng", "webp"]


@pytest.mark.parametrize("extension", READ)
def test_what_pillow_opens_is_read(tmp_path, extension):
    Image.fromarray(noise(16, 16, 3)).convert("L" if extension == "pgm" else "RGB").save(tmp_path / f"a.{extension}")
    data = load_images(tmp_path, "all", size=16)
    assert len(data) == 1 and data[0][0].float().std() > 20


def test_what_is_passed_over_is_counted_in_one_line(tmp_path, told):
    save(tmp_path, "a/1.png", "a/2.jfif", "b/3.png", "b/@eaDir/3.png/thumb.png", "b/._3.png", "__MACOSX/a/1.png")
    for name in ("notes.txt", "a/labels.TXT", "data.h5", "drawing.eps", "README"):
        (tmp_path / name).write_bytes(b"")
    data = load_images(tmp_path, "all", size=8)
    assert names(data) == ["a/1.png", "a/2.jfif", "b/3.png"] and data.class_names == ("a", "b")
    found = "hidden or of the system (3), .txt (2), .h5 (1), .eps (1), without an extension (1)"
    assert len(told()) == 1
    line, _, counted = told()[0].partition("passed over: ")
    assert line == f"{tmp_path}: " and sorted(counted.split(", ")) == sorted(found.split(", "))


@pytest.mark.skipif(os.sep != "/", reason="file names are bytes")
def test_names_that_are_not_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    save(folder, *numbered(os.fsdecode(b"\xff"), 10), *numbered("b", 10))
    train, test = load_images(folder, "train"), load_images(folder, "test")
    assert (len(train), len(test)) == (18, 2) and train.name == "caf\\xe9" and train.class_names == ("b", "\\xff")
    for text in (*train.notes, train.name, *train.class_names):
        text.encode()  # can be printed
    (folder / os.fsdecode(b"\xfe.png")).write_bytes(b"no image")
    with pytest.raises(ValueError, match=re.escape(f"cannot read the image {tmp_path}/caf\\xe9/\\xfe.png")) as error:
        load_images(folder)
    str(error.value).encode()


# names and published files


def test_a_name_that_beats_a_folder_is_told(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "digits", "1.png", "2.png")
    expected = f"digits means the data set; the folder {tmp_path / 'digits'} is reached as ./digits"
    assert len(load_images("digits")) == 1500 and told() == [expected]
    assert len(load_images("./digits", "all")) == 2
    assert located("./digits") == str(tmp_path / "digits") and located("digits") == "digits"
    assert parse_name("./digits:all") == ("./digits", "all")


def test_cifar_files_that_are_not_the_published_ones_are_in_the_status(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for file in ("train", "test", "meta"):
        (folder / file).write_bytes(pickle.dumps({}))
    assert status("cifar100", tmp_path) == (
        f"found, but {folder / 'train'} fails its md5 check; delete its folder and fetch it again"
    )


PARTITION = "1.jpg 0\n2.jpg 0\n3.jpg 1\n4.jpg 2\n"


def test_celeba_in_a_folder_inside_the_folder(tmp_path):
    write_celeba(tmp_path, PARTITION)
    before = load_images("celeba", "train", root=tmp_path)[0][0]
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.rename(tmp_path / "unpacked")
    folder.mkdir()
    (tmp_path / "unpacked").rename(folder / "img_align_celeba")
    assert status("celeba", tmp_path) == "found"
    assert torch.equal(load_images("celeba", "train", root=tmp_path)[0][0], before)


def test_missing_celeba_photographs_are_named(tmp_path):
    write_celeba(tmp_path, PARTITION + "5.jpg 0\n")
    folder = tmp_path / "celeba" / "img_align_celeba"
    with pytest.raises(FileNotFoundError, match=r"celeba: 1 of 3 photographs are not in .*so that 5\.jpg lies in it"):
        load_images("celeba", "train", root=tmp_path)
    assert status("celeba", tmp_path).startswith(f"found, but celeba: 1 of 5 photographs are not in {folder}, which")
    assert len(load_images("celeba", "test", root=tmp_path)) == 1


def test_celeba_photographs_of_another_size(tmp_path):
    write_celeba(tmp_path, PARTITION)
    folder = tmp_path / "celeba" / "img_align_celeba"
    Image.fromarray(noise(300, 200, 3)).save(folder / "1.jpg")
    note = (
        f"celeba: {folder / '1.jpg'} has 200 x 300, not 178 x 218 pixels as published; of each photograph the 148 x 148"
    )
    assert load_images("celeba", "train", root=tmp_path).notes[0].startswith(note)
    Image.fromarray(noise(128, 128, 3)).save(folder / "1.jpg")
    with pytest.raises(ValueError, match=r"1\.jpg has 128 x 128 pixels, fewer than the 148 x 148 that are cut out"):
        load_images("celeba", "train", root=tmp_path)
