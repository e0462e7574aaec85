"""The door for bytes of others: whatever a reader raises leaves it as one ValueError that names the file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import ParamSpec, TypeVar
from zipfile import BadZipFile, ZipFile

from .memory import available, gigabytes

P = ParamSpec("P")
T = TypeVar("T")
LONGEST = 300  # characters of what a library says that go into a message
SMALL = 2**28  # bytes that any file may unpack to
RATIO = 200  # beyond that, how many times its size: images of noise and of one colour lie between 1 and 1,000


@contextmanager
def reading(path: str | Path, complaint: str, remedy: str = "fetch or save it anew") -> Iterator[None]:
    """Within, a file that someone else may have written is read.

    Args:
        path: of the file.
        complaint: what is wrong with it if that fails, such as "is no image that can be read".
        remedy: what to do then.

    Raises:
        FileNotFoundError: no such file, or one that it names.
        ValueError: "PATH COMPLAINT (what was found); REMEDY" for any other exception, of whatever library; one that
            names the file already stays as it is.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # OSError, struct.error, zlib.error, UnicodeDecodeError, RecursionError, ...
        if isinstance(error, ValueError) and str(path) in str(error) and len(str(error)) < 3 * LONGEST:
            raise
        raise ValueError(f"{path} {complaint} ({found(error)}); {remedy}") from error


def reader(complaint: str, remedy: str = "fetch or save it anew") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function whose first argument is the file that it reads: all of it is inside `reading`."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def read(*args: P.args, **options: P.kwargs) -> T:
            with reading(Path(str(args[0])), complaint, remedy):
                return function(*args, **options)

        return read

    return decorate


def found(error: Exception) -> str:
    """What an exception says, in one line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return shortened(f"no {text}" if isinstance(error, KeyError) else text)


def brief(value: object) -> str:
    """A value for a message, cut where it is long."""
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or a list in a list in a list
        return f"a {type(value).__name__} ({error})"


def shortened(text: str) -> str:
    """A text for a message, cut where it is long."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def check_unpacked(path: str | Path, packed: int, unpacked: int) -> None:
    """Refuse what is small on disk and would fill the memory, before it is unpacked.

    Args:
        path: of the file, for the message.
        packed: bytes on disk.
        unpacked: bytes that it announces.

    Raises:
        ValueError: more than a quarter of a GB and 200 times what is on disk, or more than the free memory.
    """
    if unpacked > SMALL and unpacked > RATIO * packed:
        raise ValueError(
            f"{path} would unpack from {gigabytes(packed)} to {gigabytes(unpacked)}, more than {RATIO} times its size; "
            "expected the data of images or weights, fetch or save it anew"
        )
    if unpacked > available():
        raise ValueError(f"{path} would unpack to {gigabytes(unpacked)}, {gigabytes(available())} of memory are free")


def check_archive(path: str | Path, data: bytes | None = None) -> None:
    """`check_unpacked` for the members of a zip file, which .npz and .pt files are; other files pass.

    `data` are its contents, where they were read already.

    Raises:
        ValueError: as `check_unpacked`, or a table of contents that cannot be read.
    """
    try:
        with ZipFile(path if data is None else BytesIO(data)) as archive:
            members = archive.infolist()
    except BadZipFile:
        return
    check_unpacked(path, sum(one.compress_size for one in members), sum(one.file_size for one in members))
