"""Tar shards are the data set that the folder in them is, whoever wrote them; damaged ones are refused by name."""

import io
import itertools
import json
import os
import pickle
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image
from safetensors.torch import load_file

from classifiers.config import ClassifierConfig
from classifiers.data import load_split
from eval import open_images
from fsvae_tcja.cli import main
from fsvae_tcja.data import Subset, batches, inspect_shards, load_images, located, parse_name, split_off
from fsvae_tcja.data.shards import dataset as shard_dataset
from fsvae_tcja.data.shards import keep, means_shards
from fsvae_tcja.data.shards.load import contents_of
from tests.curves import undrawn

from .test_images import noise

SEEDS = itertools.count(1)


def png(*shape, form="PNG", array=None):
    """An image file, no two equal."""
    file = io.BytesIO()
    Image.fromarray(noise(*shape or (8, 8), seed=next(SEEDS)) if array is None else array).save(file, form)
    return file.getvalue()


def member(name, data=b"", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def write(path, *files, **options):
    """A tar of files: (name, contents), or what `member` gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, data in files:
            info, data = (name, data) if isinstance(name, tarfile.TarInfo) else member(name, data)
            tar.addfile(info, io.BytesIO(data))
    return path


def numbered(n, first=0, **images):
    return [(f"{i:06d}.png", png(**images)) for i in range(first, first + n)]


@pytest.fixture
def told(caplog):
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("fsvae_tcja.data")]


@pytest.fixture
def built(monkeypatch):
    """The shards that were read to make an index, in order."""
    names, make = [], keep.make_index
    monkeypatch.setattr(keep, "make_index", lambda shard: (names.append(shard.name), make(shard))[1])
    return names


# WebDataset


@pytest.fixture
def of_webdataset(tmp_path):
    """Shards of 10 written by webdataset itself: train 25, test 12; colour images of 9 x 7, classes 0..4."""
    for split, n in (("train", 25), ("test", 12)):
        with webdataset.ShardWriter(str(tmp_path / f"{split}-%06d.tar"), maxcount=10, verbose=0) as writer:
            for i in range(n):
                image = noise(9, 7, 3, seed=next(SEEDS))
                writer.write({"__key__": f"{i:06d}", "png": image, "cls": i % 5, "json": {"i": i}})
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_webdataset_writes_is_read_as_webdataset_reads_it(of_webdataset, split):
    """The same samples in the same order, pixel for pixel, and their labels."""
    pattern = str(of_webdataset / f"{split}-{{000000..00000{2 if split == 'train' else 1}}}.tar")
    theirs = list(webdataset.WebDataset(pattern, shardshuffle=False).decode("rgb8").to_tuple("png", "cls"))
    ours = load_images(of_webdataset, split, size=7)
    assert len(ours) == len(theirs) == {"train": 25, "test": 12}[split]
    assert ours.labels.tolist() == [label for _, label in theirs] and ours.classes == 5
    whole = np.stack([np.asarray(image) for image, _ in theirs])
    assert torch.equal(ours.load(range(len(ours))), torch.from_numpy(whole[:, 1:8]).permute(0, 3, 1, 2))
    assert torch.equal(load_images(pattern, "all", size=7).load([0, 5]), ours.load([0, 5]))


def test_a_tar_of_one_writer_call_and_labels_as_text(tmp_path):
    with open(tmp_path / "one.tar", "wb") as file, webdataset.TarWriter(file) as writer:
        for i, name in enumerate(["cat", "dog", "cat", "cow", "dog"]):
            writer.write({"__key__": f"pets/{i}", "jpg": noise(8, 8, 3, seed=i), "cls": name})
    data = load_images(tmp_path / "one.tar", "all", size=8)
    assert data.class_names == ("cat", "cow", "dog") and data.labels.tolist() == [0, 2, 0, 1, 2]


# the folder that is in them


def as_folder(folder):
    """A folder of images with splits and classes, and of each split the names."""
    for split, n in (("train", 12), ("test", 5)):
        for i in range(n):
            path = folder / split / "ab"[i % 2] / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(8, 8, 3) if i % 3 else png(8, 8))
    return folder


def packed(folder, path, where=".", called="."):
    """A tar as `tar --sort=name` makes it, members "./...", folders too."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder / where, called)
    return path


@pytest.mark.parametrize("split", ["train", "test", "all"])
@pytest.mark.parametrize(
    "form", ["one tar", "a tar for each split", "tars that say it twice", "tars in folders of splits"]
)
def test_a_folder_and_its_tar_are_one_data_set(tmp_path, split, form):
    """The same images, labels, order, classes and content hash."""
    folder, shards = as_folder(tmp_path / "folder"), tmp_path / "shards"
    shards.mkdir()
    for part in ("train", "test"):
        if form == "tars in folders of splits":
            (shards / part).mkdir()
            packed(folder, shards / part / "000.tar", part)
        elif form == "a tar for each split":
            packed(folder, shards / f"pets-{part}-000.tar", part)
        elif form == "tars that say it twice":
            packed(folder, shards / f"{part}.tar", part, part)
    if form == "one tar":
        packed(folder, shards / "pets.tar")
    data, same = load_images(folder, split, size=8), load_images(shards, split, size=8)
    if split == "all":  # whose order is that of the shards: test before train, as folders have it
        assert data.paths[0].parts[-3] == "test"
    assert same.content_hash == data.content_hash and same.class_names == data.class_names == ("a", "b")
    assert torch.equal(same.load(range(len(same))), data.load(range(len(data))))


@pytest.mark.parametrize("inner", ["", "a/"])
def test_without_splits_the_test_split_is_that_of_the_folder(tmp_path, inner):
    folder, files = tmp_path / "folder", [(f"{inner}{i:03d}.png", png()) for i in range(40)]
    files += [(f"{inner}{i:03d}-copy.png", data) for i, (_, data) in enumerate(files[:20])]
    for name, data in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    write(tmp_path / "s" / "0.tar", *sorted(files)[:25])
    write(tmp_path / "s" / "1.tar", *sorted(files)[25:])
    for split in ("train", "test"):
        data, same = load_images(folder, split, size=8), load_images(tmp_path / "s", split, size=8)
        assert same.content_hash == data.content_hash and 0 < len(same) < 60
    assert f"{tmp_path / 's'}: copies of other images: 20; they stay on one side of a split" in same.notes
    rest, valid = split_off(load_images(tmp_path / "s", "train", size=8), 0.2)
    assert not {*rest.digests(range(len(rest)))} & {*valid.digests(range(len(valid)))}


def test_images_of_other_sizes_and_modes(tmp_path):
    """As in folders: the notes too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    files = [("0.png", png(8, 8)), ("1.png", png(20, 10, 3)), ("2.jpg", png(9, 9, 3, form="JPEG"))]
    files += [("3.png", png(8, 8, 4)), ("4.tif", png(array=noise(8, 8).astype(np.uint16) * 257, form="TIFF"))]
    for name, data in files:
        (folder / name).write_bytes(data)
    shards = write(tmp_path / "shards" / "0.tar", *files).parent
    data, same = load_images(folder, "all", size=8), load_images(shards, "all", size=8)
    assert torch.equal(same.load(range(5)), data.load(range(5))) and same.channels == 3
    assert [note.replace(str(shards), str(folder)) for note in same.notes] == [*data.notes] and len(same.notes) == 2
    with pytest.raises(ValueError, match=re.escape(f"the images in {shards} are not all square and of one size")):
        load_images(shards, "all", size=None)


@pytest.mark.parametrize("called", [".", "train"])
def test_a_shard_of_the_training_split_alone(tmp_path, called):
    """Split as `train/` alone is, also where the shard holds that folder itself."""
    folder = as_folder(tmp_path / "folder")
    shutil.rmtree(folder / "test")
    (tmp_path / "s").mkdir()
    path = packed(folder, tmp_path / "s" / "train.tar", "train", called)
    for split in ("train", "test"):
        data = load_images(folder, split, size=8)
        for name in (path, path.parent):
            same = load_images(name, split, size=8)
            assert same.content_hash == data.content_hash and same.class_names == ("a", "b")


def test_a_link_up_leads_to_no_image(tmp_path):
    shards = write(tmp_path / "shards" / "0.tar", *numbered(3)).parent
    (tmp_path / "beside.png").write_bytes(png())
    (shards / "up").symlink_to("..")
    assert means_shards(shards) and len(load_images(shards, "all", size=8)) == 3


def test_a_folder_with_an_image_is_a_folder_of_images(tmp_path, told):
    write(tmp_path / "a" / "all.tar", *numbered(3))
    assert means_shards(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.png").write_bytes(png())
    assert not means_shards(tmp_path) and len(load_images(tmp_path, "all", size=8)) == 1
    assert f"{tmp_path}: passed over: .tar (1)" in told()


# layouts, labels, keys


def test_splits_by_the_names_of_the_shards(tmp_path):
    for split, n in (("training", 3), ("Val", 2), ("test", 1)):
        write(tmp_path / f"imagenet-{split}-000.tar", *numbered(n))
    lengths = {"train": 3, "val": 2, "valid": 2, "test": 1, "all": 6}
    assert {split: len(load_images(tmp_path, split, size=8)) for split in lengths} == lengths
    assert parse_name(f"{tmp_path}:val") == (str(tmp_path), "val")
    assert len(load_images(tmp_path, "valid", size=8, validation=0.5)) == 2  # its own
    with pytest.raises(ValueError, match=r"has the splits train, test; expected one at most"):
        load_images(write(tmp_path / "train-test.tar", *numbered(1)), "all")


def test_names_that_mix_splits_and_classes_are_refused(tmp_path):
    write(tmp_path / "train-0.tar", ("1.png", png()))
    write(tmp_path / "rest.tar", ("cats/1.png", png()))
    with pytest.raises(ValueError, match=r"train/, which name splits, beside cats/, which do not"):
        load_images(tmp_path, "train")


def test_images_beside_the_splits_are_passed_over(tmp_path):
    write(tmp_path / "train-0.tar", *numbered(4))
    write(tmp_path / "rest.tar", *numbered(3))
    data = load_images(tmp_path, "all", size=8)
    assert len(data) == 4 and f"{tmp_path}: passed over: images beside the folders of the splits (3)" in data.notes


@pytest.mark.parametrize(
    ("texts", "names", "labels"),
    [
        (["0", "2", "1"], ("0", "1", "2"), [0, 2, 1]),
        (["3", "-1", "1\n"], ("0", "1", "2", "3"), [3, -1, 1]),
        (["b", "10", "a"], ("10", "a", "b"), [2, 0, 1]),
        (["b", None, "é"], ("b", "é"), [0, -1, 1]),
    ],
)
def test_labels(tmp_path, texts, names, labels):
    """A label of its own goes before the folder."""
    files = [(f"x/{i}.png", png()) for i in range(3)]
    files += [(f"x/{i}.cls", text.encode()) for i, text in enumerate(texts) if text]  # behind all images
    data = load_images(write(tmp_path / "0.tar", *files), "all", size=8)
    assert data.class_names == names and data.labels.tolist() == labels and data.classes == len(names)


@pytest.mark.parametrize("label", [b"", b"\xff\xfe", b"a" * 201, b"a\nb"])
def test_labels_that_name_no_class(tmp_path, label):
    path = write(tmp_path / "0.tar", ("1.png", png()), ("1.cls", label))
    with pytest.raises(
        ValueError, match=rf"{path} holds the label 1.cls of {len(label)} bytes; expected the number or"
    ):
        load_images(path, "all")


def test_numbers_that_are_no_classes(tmp_path):
    path = write(tmp_path / "0.tar", ("1.png", png()), ("1.cls", b"2000000000"))
    with pytest.raises(ValueError, match=r"the labels \(.cls\) in .* go from 2000000000 .* expected the numbers"):
        load_images(path, "all")


def test_what_is_no_sample_is_counted(tmp_path):
    link = member("5.png", type=tarfile.SYMTYPE, linkname="1.png")
    files = [("./a/1.png", png()), ("a/1.json", b"{}"), ("a/1.mask.png", png()), ("._1.png", b"x"), ("README", b"x")]
    files += [("2.CLS", b"0"), ("b/.hidden/3.png", png()), ("__MACOSX/._1.png", b"x"), link]
    files += [member("a", type=tarfile.DIRTYPE), member("fifo.png", type=tarfile.FIFOTYPE), ("/c/4.PNG", png())]
    data = load_images(write(tmp_path / "0.tar", *files), "all", size=8)
    assert [data.places.name(i) for i in range(len(data))] == ["a/1.png", "c/4.PNG"] and data.class_names == ("a", "c")
    assert data.notes[0].startswith(f"{tmp_path / '0.tar'}: passed over: hidden or of the system (3), ")
    for reason in (".json", "other images of the same key", "without an extension", ".cls without an image"):
        assert f"{reason} (1)" in data.notes[0]
    assert "links in a tar (1)" in data.notes[0] and "no regular files (1)" in data.notes[0]


@pytest.mark.parametrize("names", [["1.left.png", "1.right.png"], ["1.png", "1.jpg"], ["v1.0.png", "v1.1.png"]])
def test_several_images_of_a_key_of_which_none_is_the_one(tmp_path, names):
    path = write(tmp_path / "0.tar", *((name, png()) for name in names))
    with pytest.raises(ValueError, match=rf"{path} has 2 images of the key v?1: {names[0]}, {names[1]}; expected one"):
        load_images(path, "all")


def test_a_file_twice(tmp_path):
    path = write(tmp_path / "0.tar", ("1.png", png()), ("2.png", png()), ("./1.png", png()))
    with pytest.raises(ValueError, match=f"{path} holds 1.png twice"):
        load_images(path, "all")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_odd_names(tmp_path, form):
    names = ["d" * 90 + "/" + "n" * 80 + ".png"]
    if form != tarfile.USTAR_FORMAT:
        names += ["é" * 120 + ".png", "x" * 300 + ".png", os.fsdecode(b"caf\xe9.png")]
    files = [(name, png()) for name in names]
    info, data = member("last.png", png(), pax_headers={"comment": "y" * 600, "mtime": "1.5"})
    data = load_images(write(tmp_path / "0.tar", *files, (info, data), format=form), "all", size=8)
    assert [data.places.name(i) for i in range(len(data))] == [*names, "last.png"]
    assert data.load(range(len(data))).shape == (len(files) + 1, 1, 8, 8)


# damage


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_compressed_shards_are_to_be_unpacked(tmp_path, form):
    with tarfile.open(tmp_path / "0.tar", f"w:{form}") as tar:
        tar.addfile(*member("1.png"))
    with pytest.raises(ValueError, match=rf"{tmp_path}/0.tar is a compressed tar, .* unpack it \(gunzip"):
        load_images(tmp_path, "all")
    (tmp_path / "0.tar").rename(tmp_path / f"0.tar.{form}")
    with pytest.raises(ValueError, match=rf"0.tar.{form} is a compressed tar"):
        load_images(tmp_path, "all")


def test_shards_that_are_cut_off(tmp_path):
    """At every block, also between two files, where tarfile notices nothing."""
    path = write(tmp_path / "0.tar", *numbered(3))
    whole = path.read_bytes().rstrip(b"\0")
    for end in range(0, len(whole), 512):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=rf"{path} is no tar that can be read \(.*\); write or fetch it anew"):
            load_images(path, "all")


@pytest.mark.parametrize("damage", ["header", "two in one", "text", "sparse", "image"])
def test_damaged_shards_are_refused_by_name(tmp_path, damage):
    path = write(tmp_path / "0.tar", *numbered(3))
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[data.index(b"000001.png")] ^= 1
    elif damage == "two in one":
        data *= 2
    elif damage == "text":
        data = b"no tar" * 200
    elif damage == "sparse":
        with open(tmp_path / "1.png", "wb") as file:
            file.truncate(2**20)
        subprocess.run(["tar", "-C", str(tmp_path), "-Scf", str(path), "1.png"], check=True)
        data = path.read_bytes()
    else:
        data = bytearray(write(path, ("1.png", png()), ("2.png", b"no image")).read_bytes())
    path.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_images(path, "all")


def test_nothing_in_them(tmp_path):
    write(tmp_path / "0.tar", ("a.txt", b"1"))
    write(tmp_path / "1.tar")
    with pytest.raises(ValueError, match=rf"no image in {tmp_path}: expected .tar files .* found .txt \(1\)"):
        load_images(tmp_path, "all")
    write(tmp_path / "2.tar", *numbered(2))
    assert len(load_images(tmp_path, "all", size=8)) == 2
    with pytest.raises(FileNotFoundError, match=f"there is no shard {tmp_path}/3.tar"):
        load_images(f"{tmp_path}/{{0..3}}.tar", "all")
    with pytest.raises(ValueError, match=r"\{3..1\} in .* is no range of shards"):
        load_images(f"{tmp_path}/{{3..1}}.tar", "all")


# the index


def test_the_index_is_kept_and_follows_its_shards(tmp_path, told, built, monkeypatch):
    """Made once; a copy or a touched shard is known by its contents; others, and damaged indices, are made anew."""
    shards, root = tmp_path / "shards", tmp_path / "root"
    paths = [write(shards / f"{i}.tar", *numbered(5, 10 * i)) for i in range(2)]

    def load(folder=shards):
        monkeypatch.setattr(shard_dataset, "OPEN", 1)
        contents_of.cache_clear()  # as in another process
        data = load_images(folder, "all", size=8, root=root)
        assert len(data.load(range(len(data)))) == len(data)
        return data.content_hash

    first = load()
    assert built == ["0.tar", "1.tar"] and {path.name for path in shards.glob("*.index")} == {
        "0.tar.index",
        "1.tar.index",
    }
    assert load() == first and not told()
    os.utime(paths[0])
    shutil.copytree(shards, tmp_path / "copied")
    assert load() == load(tmp_path / "copied") == first and built == ["0.tar", "1.tar"] and not told()

    write(paths[1], *numbered(5, 10))  # as many bytes
    assert load() != first and built == ["0.tar", "1.tar", "1.tar"]
    assert told()[-1] == f"{shards}: 1 of 2 indices of shards made anew: of other contents (1)"
    for damage in (b"", b"x" * 100, (shards / "1.tar.index").read_bytes()[:-9]):
        (shards / "0.tar.index").write_bytes(damage)
        second = load()
        assert built[-1] == "0.tar" and second == load()
    assert len(built) == 6 and told()[-1].endswith(
        "1 of 2 indices of shards made anew: damaged, or of another version (1)"
    )


def test_where_shards_cannot_be_written_beside(tmp_path, built, told, monkeypatch):
    """The index lies below the data root; and where that cannot be written either, it is made every time."""
    path = write(tmp_path / "shards" / "0.tar", *numbered(3))
    replacing, refused = keep.replacing, [path.parent]

    def write_or_refuse(place, **options):
        if any(place.is_relative_to(folder) for folder in refused):
            raise PermissionError(13, "Permission denied", str(place))
        return replacing(place, **options)

    monkeypatch.setattr(keep, "replacing", write_or_refuse)
    for _ in range(2):
        contents_of.cache_clear()
        assert len(load_images(path.parent, "all", size=8, root=tmp_path / "root")) == 3
    assert built == ["0.tar"] and len([*(tmp_path / "root" / ".cache" / "shards").iterdir()]) == 1 and not told()
    refused.append(tmp_path)
    contents_of.cache_clear()
    assert len(load_images(path.parent, "all", size=8, root=tmp_path / "other")) == 3
    assert "indices of shards are made every time, since they cannot be kept" in told()[0]


def test_an_image_that_changed_under_its_index_is_refused(tmp_path):
    """By its SHA-256, whatever size and times say."""
    path = write(tmp_path / "0.tar", *numbered(3))
    data = load_images(path, "all", size=8)
    state, whole = path.stat(), path.read_bytes()
    at = int(data.places.offset[1]) + 30
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(data.load([0, 2])) == 2
    with pytest.raises(ValueError, match=rf"{path}/000001.png is not what it was when the index of its shard was made"):
        data.load([1])


# as every other data set


def test_they_are_read_in_any_order_by_any_process(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.tar", *numbered(7, 10 * i))
    data = load_images(tmp_path, "all", size=8)
    order = torch.randperm(21, generator=torch.Generator().manual_seed(0))
    whole = data.load(range(21))
    for workers in (0, 2):
        read = torch.cat([x for x, _ in batches(data, 4, order=order, num_workers=workers)])
        assert torch.equal(read, whole[order])
    assert torch.equal(pickle.loads(pickle.dumps(data)).load(range(21)), whole)
    assert torch.equal(Subset(data, order[:5]).load(range(5)), whole[order[:5]])


def test_scores_take_them(of_webdataset):
    source = open_images(f"{of_webdataset}:test", size=8)
    assert source.n == 12 and source.labels.tolist() == [i % 5 for i in range(12)]
    assert source.pixels == "7 x 9 to 8, PIL bilinear, centre crop"
    assert len(open_images(f"{of_webdataset}/test-{{000000..000001}}.tar", size=8).draw(0, 12)) == 12
    assert open_images(of_webdataset, size=8).n == 37


def test_classifiers_take_them(of_webdataset):
    config = ClassifierConfig("FC5", T=2, shape=(3, 8, 8), classes=5)
    lengths = [len(load_split(str(of_webdataset), split, config)) for split in ("train", "valid", "test")]
    assert lengths == [20, 5, 12]


def test_the_program_trains_on_them_as_on_the_folder(tmp_path, monkeypatch):
    """The same weights, and the same data by its hash."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    folder = as_folder(tmp_path / "folder")
    Path("shards").mkdir()
    packed(folder, Path("shards/0.tar"))
    options = "--steps 2 --batch-size 4 --model.T 2 --model.L 4 --model.latent.k 2 --model.channels 2 3 4 5"
    for data in ("folder", "shards"):
        command = ["train", "digits", "--data", data, "--out", f"runs/{data}", "--device", "cpu", *options.split()]
        with undrawn():
            assert main(command) == 0
    of_folder, of_shards = (Path(f"runs/{data}/run.json").read_text() for data in ("folder", "shards"))
    assert json.loads(of_folder)["data_sha256"] == json.loads(of_shards)["data_sha256"]
    weights = [load_file(f"runs/{data}/model.safetensors") for data in ("folder", "shards")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.tar", *numbered(1))
    assert located("a.tar") == str(tmp_path / "a.tar") and located("a-{0..9}.tar") == f"{tmp_path}/a-{{0..9}}.tar"
    assert parse_name("a.tar:train") == ("a.tar", "train") and parse_name("a-{0..9}.tar") == ("a-{0..9}.tar", None)
    assert inspect_shards("a.tar").size == 8
