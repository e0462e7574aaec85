"""The door for bytes of others."""

import json
import struct
import zlib
from pathlib import Path

import pytest

from fsvae_tcja.utils.foreign import check_unpacked, reader, reading


def deep():
    return json.loads("[" * 100_000)


@pytest.mark.parametrize(
    "fails",
    [
        lambda: struct.unpack("<Q", b"1"),
        lambda: zlib.decompress(b"1"),
        lambda: b"\xff".decode(),
        lambda: json.loads("{"),
        lambda: {}["key"],
        lambda: int("1" * 5000),
        lambda: 1 / 0,
        lambda: bytearray(2**62),
        lambda: Path("/").read_bytes(),
        deep,
    ],
)
def test_everything_becomes_one_error_that_names_the_file(tmp_path, fails):
    path = tmp_path / "a.bin"
    expected = pytest.raises(ValueError, match=r"a\.bin is no recording \(.+\); fetch it again")
    with expected as error, reading(path, "is no recording", "fetch it again"):
        fails()
    assert type(error.value) is ValueError and len(str(error.value)) < 1000


def test_what_names_the_file_already_stays_and_is_not_told_twice(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(ValueError, match=r"^\S+a\.bin is empty$"), reading(path, "is no recording"):
        raise ValueError(f"{path} is empty")


def test_a_missing_file_stays_one(tmp_path):
    with pytest.raises(FileNotFoundError), reading(tmp_path / "a", "is no recording"):
        (tmp_path / "a").read_bytes()


def test_long_messages_are_cut(tmp_path):
    with pytest.raises(ValueError) as error, reading(tmp_path / "a", "is no recording"):
        raise ValueError(f"{tmp_path / 'a'} " + "x" * 10_000)
    assert len(str(error.value)) < 1000


def test_what_ends_a_program_goes_through(tmp_path):
    for signal in (KeyboardInterrupt, SystemExit):
        with pytest.raises(signal), reading(tmp_path / "a", "is no recording"):
            raise signal


def test_a_reader_as_a_whole(tmp_path):
    @reader("is no number")
    def number(path: Path) -> int:
        return int(path.read_text())

    (tmp_path / "a").write_text("3")
    assert number(tmp_path / "a") == 3
    (tmp_path / "a").write_text("three")
    with pytest.raises(ValueError, match=r"/a is no number \(invalid literal .*\); fetch or save it anew"):
        number(tmp_path / "a")


def test_what_is_unpacked_is_bounded():
    check_unpacked("a", 10**6, 10**8)  # a hundred times
    check_unpacked("a", 1, 2**28)  # little in any case
    with pytest.raises(ValueError, match=r"a would unpack from 0\.001 GB to 1 GB, more than 200 times its size"):
        check_unpacked("a", 10**6, 10**9)
    with pytest.raises(ValueError, match=r"a would unpack to 1e\+09 GB, .* GB of memory are free"):
        check_unpacked("a", 10**17, 10**18)
