"""Sources of images: every kind gives the same images, and says what is wrong with a bad one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from one_score import make_reference, score
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from eval.evaluation import open_reference
from eval.features import Extractor
from eval.opening import open_images
from eval.protocols import STANDARD, STRICT
from eval.reference import holds_statistics
from eval.sources import IndexedImages
from fsvae_tcja.data import load_images
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.vae import FSVAE, FSVAEConfig

N = 11


@pytest.fixture(scope="module", params=[1, 3])
def images(request) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (N, request.param, 8, 8), generator=generator, dtype=torch.uint8)


def write_folder(folder, images):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()).save(folder / f"{i:04d}.png")
    return folder


def collected(source, batch=4, n=None) -> torch.Tensor:
    parts = list(source.batches(batch, n))
    assert [start for start, _ in parts] == list(range(0, sum(len(part) for _, part in parts), batch))
    return torch.cat([part for _, part in parts])


def kinds(images, tmp_path) -> dict:
    last = images.permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "first.npy", images.numpy())
    np.save(tmp_path / "last.npy", last if images.shape[1] == 3 else last[..., 0])
    np.savez(tmp_path / "one.npz", anything=last)
    np.savez(tmp_path / "two.npz", images=last, labels=np.zeros(N))
    labels = torch.zeros(N, dtype=torch.int64)
    return {
        "tensor": images,
        "array": last,
        "first.npy": tmp_path / "first.npy",
        "last.npy": str(tmp_path / "last.npy"),
        "one.npz": tmp_path / "one.npz",
        "two.npz": tmp_path / "two.npz",
        "folder": write_folder(tmp_path / "folder", images),
        "data set": MemoryImages("made", "train", images, labels, None),
        "loader of pairs": DataLoader(TensorDataset(images, labels), batch_size=3),
        "loader of images": DataLoader(images, batch_size=5),
        "list of batches": list(images.split(2)),
        "callable": lambda start, count: images[start : start + count],
    }


def test_every_kind_gives_the_same_images(images, tmp_path):
    for kind, what in kinds(images, tmp_path).items():
        source = open_images(what)
        assert torch.equal(collected(source, n=N), images), kind
        assert torch.equal(collected(open_images(what), batch=3, n=7), images[:7]), kind
        assert source.name, kind


def test_every_kind_is_the_same_reference(images, tmp_path):
    recipe = dataclasses.replace(STRICT.recipe("FAD"), reference_split="train")
    extractor = Extractor("pixels", "0", {"latent": 3}, torch.device("cpu"), features_of_pixels)
    references = [make_reference(what, extractor, recipe, n=N) for what in kinds(images, tmp_path).values()]
    assert len({reference.sha256 for reference in references}) == 1
    assert all(torch.equal(r.statistics.mean, references[0].statistics.mean) for r in references)


def features_of_pixels(images):
    return {"latent": images.double().flatten(1)[:, :3]}


@pytest.mark.parametrize("value_range", ["-1..1", "0..1", "0..255"])
def test_floats_of_a_stated_range(value_range):
    levels = torch.arange(64, dtype=torch.float64).view(1, 1, 8, 8) * 4
    scaled = {"-1..1": levels / 127.5 - 1, "0..1": levels / 255, "0..255": levels}[value_range]
    torch.testing.assert_close(collected(open_images(scaled, value_range=value_range)), levels / 127.5 - 1)


@pytest.mark.parametrize("kind", ["tensor", "first.npy", "one.npz", "folder", "loader of pairs", "callable"])
def test_a_range_is_applied_to_8_bits_or_refused(kind, tmp_path):
    """0 and 1 become 0 and 255 where 0..1 is stated, whatever holds them."""
    binary = torch.randint(0, 2, (N, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    (tmp_path / "binary").mkdir()
    (tmp_path / "grey").mkdir()
    what, grey = (kinds(x, tmp_path / name)[kind] for name, x in (("binary", binary), ("grey", binary * 7)))
    assert torch.equal(collected(open_images(what, value_range="0..1"), n=N), binary * 255)
    assert torch.equal(collected(open_images(what, value_range="0..255"), n=N), binary)
    for images, stated, highest in ((grey, "0..1", 7), (grey, "-1..1", 7), (what, "-1..1", 1)):
        found = f"pixels in {stated} were stated, found 8-bit ones of up to {highest}: .*; leave the range out"
        with pytest.raises(ValueError, match=found):
            collected(open_images(images, value_range=stated), n=N)


def test_pixels_that_look_like_those_of_another_range_are_noted():
    extractor = Extractor("pixels", "0", {"latent": 3}, torch.device("cpu"), features_of_pixels)
    recipe, levels = STRICT.recipe("FAD"), torch.linspace(0, 1, N * 64).view(N, 1, 8, 8)

    def notes(side, stated=None):
        pairs = (side, {"value_range": stated}), (levels * 255, {"value_range": "0..255"})
        reference = make_reference(pairs[1][0], extractor, recipe, **pairs[1][1])
        scored = score(pairs[0][0], extractor, recipe, reference, **pairs[0][1]).notes
        return scored, make_reference(side, extractor, recipe, value_range=stated).notes

    for found in notes((levels > 0.5).to(torch.uint8)):
        assert (
            "a tensor: the highest 8-bit pixel is 1 of 255, all but black; pixels of 0 and 1 have to state" in found[0]
        )
    for stated, low, high in (("-1..1", "0", "1"), ("0..255", "0", "1"), ("0..1", "0", "0.5")):
        for found in notes(levels * float(high), stated):
            told = f"a tensor: the pixels reach from {low} to {high}, half of the stated {stated} or less: see whether"
            assert told in found[0]
    for images, stated in ((levels, "0..1"), (levels * 2 - 1, "-1..1"), ((levels * 255).to(torch.uint8), None)):
        assert not [note for found in notes(images, stated) for note in found if "pixel" in note]


@pytest.mark.parametrize(
    "kind", ["tensor", "array", "first.npy", "one.npz", "loader of pairs", "list of batches", "callable"]
)
def test_a_size_that_is_not_made_is_refused(kind, tmp_path, images):
    what = kinds(images, tmp_path)[kind]
    assert torch.equal(collected(open_images(what, size=8), n=N), images)
    with pytest.raises(ValueError, match=r"holds images of 8 x 8 pixels and is not brought to 16 \(size, --size\)"):
        collected(open_images(what, size=16), n=N)


@pytest.mark.parametrize("kind", ["data set", "folder"])
def test_a_size_without_memory_is_refused_with_the_figure(kind, tmp_path, images):
    what = "digits:test" if kind == "data set" else write_folder(tmp_path / "folder", images)
    with pytest.raises(
        ValueError, match=r"at 1,000,000 x 1,000,000 pixels needs at least [\d,]+ GB .* take a smaller size"
    ):
        open_images(what, size=1_000_000)


@pytest.mark.parametrize(("drawn", "told"), [(64, True), (32, False)])
def test_a_data_set_takes_the_size_of_the_drawn_images_and_says_so(drawn, told):
    model = FSVAE(FSVAEConfig(image_size=drawn, T=2, L=4, channels=(3,) * (4 if drawn == 32 else 5))).eval()
    source = open_reference("digits", STRICT, beside=open_images(model))
    assert collected(source, n=3).shape[2:] == (drawn, drawn)
    assert source.notes == (("digits test: taken at 64 x 64, the size of the drawn images",) if told else ())
    assert open_reference("digits", STRICT, beside=open_images(model), size=drawn).notes == ()


def test_a_size_of_drawn_images_for_which_there_is_no_memory_is_refused():
    with pytest.raises(ValueError, match=r"digits test at 1,000,000 x 1,000,000 pixels needs at least [\d,]+ GB"):
        open_images("digits", usual_size=1_000_000)


def test_data_sets_by_name():
    source = open_images("digits:test", size=16)
    assert (source.name, source.split, source.n) == ("digits test", "test", 297)
    assert collected(source, n=5).shape == (5, 1, 16, 16)
    assert open_images("digits").split == "test"


def test_folder_of_another_size_on_request(tmp_path, images):
    folder = write_folder(tmp_path / "folder", images)
    assert collected(open_images(folder, size=16)).shape[2:] == (16, 16)


def test_splits_of_a_folder(tmp_path, images):
    """Those that training has: the parts join to the whole."""
    folder = write_folder(tmp_path / "mine", images)
    parts = {split: open_images(f"{folder}:{split}") for split in ("train", "test", "all")}
    assert [source.n for source in parts.values()] == [N - 1, 1, N] and open_images(folder).n == N
    assert [source.name for source in parts.values()] == ["mine train", "mine test", "mine"]
    joined = {image.numpy().tobytes() for split in ("train", "test") for image in collected(parts[split])}
    assert joined == {image.numpy().tobytes() for image in images}
    with pytest.raises(ValueError, match="unknown split 'tset'"):
        open_images(f"{folder}:tset")
    (tmp_path / "with:colon").mkdir()
    write_folder(tmp_path / "with:colon" / "a", images)
    assert open_images(tmp_path / "with:colon").n == N


def test_splits_of_a_folder_that_has_some(tmp_path, images):
    """As a reference, that of the protocol; scored, all of them, and that is said."""
    for split, some in (("train", images[:7]), ("test", images[7:])):
        (tmp_path / "mine" / split).mkdir(parents=True)
        write_folder(tmp_path / "mine" / split / "class", some)
    assert [open_images(f"{tmp_path / 'mine'}:{split}").n for split in ("train", "test", "all")] == [7, N - 7, N]
    whole = open_images(tmp_path / "mine")
    assert whole.n == N
    assert whole.notes == (f"mine: all {N} images of its splits test, train; say mine:test for one",)
    for protocol, n, split in ((STRICT, N - 7, "test"), (STANDARD, 7, "train")):
        reference = open_reference(str(tmp_path / "mine"), protocol)
        assert (reference.n, reference.name, reference.notes) == (n, f"mine {split}", ())
    other = open_reference(f"{tmp_path / 'mine'}:train", STRICT)
    assert other.notes == ("the reference is the split train; protocol strict compares with test",)
    assert open_reference(tmp_path / "mine" / "train", STRICT).n == 7


def test_a_range_of_statistics_is_refused(images):
    extractor = Extractor("pixels", "0", {"latent": 3}, torch.device("cpu"), features_of_pixels)
    references = {"FAD": make_reference(images, extractor, STRICT.recipe("FAD"))}
    with pytest.raises(ValueError, match="statistics hold no pixels, whose range could be stated"):
        score(images, extractor, STRICT.recipe("FAD"), references, reference_range="0..1")


def test_a_callable_draws_only_what_is_asked():
    asked = []

    def draw(start, count):
        asked.append((start, count))
        return torch.zeros(count, 1, 8, 8)

    collected(open_images(draw, value_range="-1..1"), batch=4, n=10)
    assert asked == [(0, 4), (4, 4), (8, 2)]


def test_bad_sources(tmp_path):
    def check(what, message, error=ValueError, n=None, **options):
        with pytest.raises(error, match=message):
            collected(open_images(what, **options), n=n)

    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "pictures").mkdir(parents=True)
    (tmp_path / "run" / "model.safetensors").touch()
    Image.new("L", (8, 8)).save(tmp_path / "run" / "pictures" / "samples.png")
    check(tmp_path / "empty", "no image in")
    check(tmp_path / "absent", r"there is no folder of images .*these are \['digits', 'mnist'", FileNotFoundError)
    check(tmp_path / "absent.npy", "absent.npy", FileNotFoundError)
    for weights in ("run/model.safetensors", "run"):
        check(tmp_path / weights, "model.safetensors is truncated or not a safetensors file")
    checkpoint.write(tmp_path / "network.safetensors", {}, {"kind": "autoencoder"})
    check(tmp_path / "network.safetensors", "holds weights or statistics, no images and no checkpoint that draws some")
    check(
        tmp_path / "absent.safetensors", "no checkpoint at .*absent.safetensors: give a run folder", FileNotFoundError
    )
    (tmp_path / "theirs.pth").touch()
    check(tmp_path / "theirs.pth", "score what this makes of it: fsvae-tcja import .*theirs.pth --out")
    check("nonsense.txt", "cannot take images from nonsense.txt: give a folder")
    check(object(), "cannot take images from object")
    check(torch.zeros(2, 1, 8, 8), "unknown value range", value_range="0..2")
    for what in ("digits", tmp_path / "empty", torch.zeros(2, 1, 8, 8)):
        check(what, "size must be at least 1 pixel, found 0", size=0)
    check(torch.zeros(2, 8, 8), r"expected images \[B, C, H, W\]")
    check(torch.zeros(2, 1, 8, 8), "3 images were asked for, only 2 were found", n=3, value_range="0..1")
    check([torch.zeros(2, 1, 8, 8)], "3 images were asked for, only 2 were found", n=3, value_range="0..1")
    check(lambda start, count: torch.zeros(count, 1, 8, 8), "say how many to score")
    check(lambda start, count: torch.zeros(1, 1, 8, 8), "was asked for 3 images", n=3, value_range="-1..1")
    for floats in (torch.zeros(3, 1, 8, 8), np.zeros((3, 8, 8)), [torch.zeros(3, 1, 8, 8)]):
        check(floats, "range of floating point pixels is not stated: say value_range .*, -1..1 or 0..1 or 0..255")
    check(lambda start, count: torch.zeros(count, 1, 8, 8), "is not stated", n=3)
    for kind in (np.int64, np.longdouble, ">f4", np.complex64, "U1"):
        found = f"expected pixels of type uint8, float16, float32, float64, found {np.dtype(kind)}"
        check(np.zeros((2, 8, 8), dtype=kind), found)
        np.save(tmp_path / "kind.npy", np.zeros((2, 8, 8), dtype=kind))
        check(tmp_path / "kind.npy", f"cannot read images from .*kind.npy: {found}")
    check(np.zeros((2, 5, 8, 4), dtype=np.uint8), r"found \(2, 5, 8, 4\)")
    np.savez(tmp_path / "many.npz", a=np.zeros(3), b=np.zeros(3))
    check(tmp_path / "many.npz", r"holds the arrays \['a', 'b'\], none called images")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    check(tmp_path / "objects.npy", "cannot read images from .*objects.npy")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "many.npz").read_bytes()[:100])
    check(tmp_path / "cut.npz", "cannot read images from .*cut.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_array_file_is_one_error(tmp_path, images, save):
    """Wherever a byte is flipped, there is a ValueError that names the file, or the images are right."""
    path = tmp_path / "images.npz"
    save(path, images=images.numpy())
    whole, refused = path.read_bytes(), 0
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x5A]) + whole[position + 1 :])
        try:
            assert torch.equal(collected(open_images(path)), images)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > len(whole) / 6


def test_resizing_is_part_of_a_source(tmp_path, images):
    folder = write_folder(tmp_path / "folder", images)
    assert open_images(folder).pixels is None and open_images(folder, size=8).pixels is None
    assert open_images(folder, size=16).pixels == "8 to 16, PIL bilinear"
    for i, image in enumerate(sorted(folder.iterdir())):
        Image.new("L", (12, 9)).save(image)
        found = "2 sizes" if i < N - 1 else "12 x 9"
        assert open_images(folder, size=16).pixels == f"{found} to 16, PIL bilinear, centre crop"


def test_bad_image_files(tmp_path, images):
    folder = write_folder(tmp_path / "folder", images)
    for found in ((9, 9), (8, 9)):
        Image.new("L", found).save(folder / "0005.png")
        with pytest.raises(
            ValueError,
            match=rf"not all square and of one size: found 8 x 8, {found[0]} x {found[1]} pixels; say .* \(size=\)",
        ):
            open_images(folder)
    (folder / "0005.png").write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    with pytest.raises(ValueError, match=r"cannot read the image .*0005.png"):
        collected(open_images(folder))


def test_processes_share_the_batches(monkeypatch):
    images = torch.arange(23.0).view(23, 1, 1, 1).expand(-1, 1, 2, 2) / 23
    for what in (images, list(images.split(5))):
        seen = []
        for rank in range(3):
            monkeypatch.setattr("eval.sources.rank", lambda rank=rank: rank)
            monkeypatch.setattr("eval.sources.world", lambda: 3)
            seen += list(open_images(what, value_range="0..1").batches(4, 21))
        seen.sort(key=lambda item: item[0])
        assert [start for start, _ in seen] == [0, 4, 8, 12, 16, 20]
        assert torch.equal(torch.cat([part for _, part in seen]), images[:21] * 2 - 1)


def test_draws_from_the_global_state_do_not_depend_on_the_process(monkeypatch):
    """Each batch has its own seed: no process draws what another draws."""

    def draws(world, seed):
        parts = []
        monkeypatch.setattr("eval.sources.world", lambda: world)
        for rank in range(world):
            monkeypatch.setattr("eval.sources.rank", lambda rank=rank: rank)
            source = open_images(lambda start, count: torch.rand(count, 1, 4, 4), value_range="0..1")
            parts += list(source.batches(4, 14, seed))
        return torch.cat([part for _, part in sorted(parts, key=lambda item: item[0])])

    alone = draws(1, 5)
    assert torch.equal(draws(3, 5), alone)
    assert not torch.equal(draws(1, 6), alone)
    assert len(alone.flatten(1).unique(dim=0)) == 14


@pytest.mark.parametrize("n", [8, 9, 11, 12])
def test_the_last_grey_arrays_of_a_stream_are_no_colours(n):
    """Of 11 images in batches of 4 the last array is [3, H, W], as a single RGB image is."""
    pixels = torch.arange(n * 64, dtype=torch.uint8).view(n, 8, 8)
    batches = [part.numpy() for part in pixels.split(4)]
    (found,) = (found for _, found in open_images(iter(batches)).batches(16, None))
    assert torch.equal(found[:, 0], pixels)
    (single,) = (found for _, found in open_images(iter([pixels[:3].numpy()] * 2)).batches(16, None))
    assert single.shape == (2, 3, 8, 8)


def test_an_empty_batch_of_a_stream_is_none():
    batches = [torch.zeros(2, 1, 8, 8), torch.zeros(0, 1, 8, 8), torch.ones(1, 1, 8, 8)]
    for one in (batches, [batch.to(torch.uint8) for batch in batches]):
        (found,) = (found for _, found in open_images(iter(one), value_range="0..1").batches(8, None))
        assert found.flatten(1).amax(1).tolist() == ([-1, -1, 1] if one is batches else [0, 0, 255])


def test_a_source_is_taken_as_it_is():
    source = IndexedImages("mine", 2, lambda start, count: torch.zeros(count, 1, 2, 2))
    assert open_images(source) is source


def test_a_folder_called_like_a_data_set_is_none(tmp_path):
    """Also where it was opened before: what a protocol fixes of the data set does not hold for it."""
    made = write_folder(tmp_path / "digits", torch.randint(0, 256, (N, 1, 8, 8), dtype=torch.uint8))
    named, folder = open_images(load_images("digits", "test")), open_images(load_images(made, "all", size=8))
    assert (named.data_set, named.split, named.name) == ("digits", "test", "digits test")
    assert (folder.data_set, folder.split, folder.name) == (None, None, "digits all")


def test_a_path_is_never_the_name_of_a_data_set(tmp_path, monkeypatch):
    """Path("./digits") and Path("digits") are the same."""
    monkeypatch.chdir(tmp_path)
    images = torch.randint(0, 256, (N, 1, 8, 8), dtype=torch.uint8)
    for split in ("train", "test"):
        write_folder(tmp_path / "digits" / split, images)
    folder = open_images(Path("digits"), split="test")
    assert (folder.n, folder.data_set, folder.sibling("train").n) == (N, None, N)
    assert open_images("./digits:test").n == N and open_images("digits:test").n == 297
    (tmp_path / "digits" / "strict-FAD.safetensors").touch()
    assert not holds_statistics("digits") and holds_statistics("./digits") and holds_statistics(Path("digits"))
