"""Hashes of files."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> bytes:
    """SHA-256 of the bytes of a file, which is not read into memory.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
