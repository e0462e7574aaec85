"""Array files: .npy and .npz. They are never unpickled, and a damaged one is one error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fsvae_tcja.utils.foreign import check_archive, found

FLOATING = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))
"""Floating point types that PyTorch has."""


@contextmanager
def reading(path: Path, complaint: str) -> Iterator[None]:
    """Within, an array file is opened and read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: `complaint`, and whatever was wrong with it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.absolute()}")
    try:
        check_archive(path)
        if path.suffix == ".npy":
            np.load(path, mmap_mode="r", allow_pickle=False)  # refuses a header that announces more than there is
        yield
    except Exception as error:  # NumPy raises ValueError, BadZipFile, zlib.error, TokenError, TypeError, OSError, ...
        raise ValueError(f"{complaint}: {found(error)}") from error


def check_type(array: np.ndarray, allowed: tuple[np.dtype, ...], what: str) -> None:
    """Raise ValueError for an array of a type that is not allowed; `what` it holds goes into the message."""
    if array.dtype not in allowed:
        raise ValueError(f"expected {what} of type {', '.join(map(str, allowed))}, found {array.dtype}")
