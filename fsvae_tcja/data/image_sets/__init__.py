"""The image sets that are known by name. One of your own: IMAGE_SETS["mine"] = ImageSet(...)."""

import hashlib
from pathlib import Path

from ..idx import unzipped
from .celeba import CELEBA
from .cifar import CIFAR10, CIFAR100
from .digits import DIGITS
from .mnist import FASHION_MNIST, MNIST
from .mnist_5k import MNIST_5K
from .record import ImageSet

__all__ = ["IMAGE_SETS", "ImageSet", "absent", "status", "wrong_contents"]

IMAGE_SETS: dict[str, ImageSet] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "mnist-5k": MNIST_5K,
    "fashion-mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "celeba": CELEBA,
}


def wrong_contents(name: str, file: str, path: Path, sha256: str) -> str | None:
    """What is wrong with a file of an image set, by the SHA-256 of its unzipped contents; None: nothing is known."""
    expected = IMAGE_SETS[name].sha256.get(file)
    if expected in (None, sha256):
        return None
    known = ((other, place) for other in IMAGE_SETS for place, one in IMAGE_SETS[other].sha256.items() if one == sha256)
    other, place = next(known, (None, None))
    if other:
        return f"{path} is not that file of {name} but of {other}: it belongs at {place} below the data root"
    return f"{path} is not that file of {name} as published: SHA-256 {sha256[:16]}..., expected {expected[:16]}..."


def absent(name: str, root: Path) -> str:
    """How many files of an image set are missing, and what to do; "" if none is."""
    source = IMAGE_SETS[name]
    missing = len(source.missing(source.files, root))
    return f"{missing} of {len(source.files)} files missing{source.remedy and '. ' + source.remedy}" if missing else ""


def status(name: str, root: Path) -> str:
    """A line: "found", how many files of an image set are missing, or what is wrong with one."""
    source = IMAGE_SETS[name]
    if missing := absent(name, root):
        return missing
    paths = {file: path for file in source.files if (path := source.find(file, root))}
    try:
        for file in source.sha256:
            if wrong := wrong_contents(name, file, paths[file], hashlib.sha256(unzipped(paths[file])).hexdigest()):
                return f"found, but {wrong}"
        if source.check:
            source.check([*paths.values()])
    except (ValueError, OSError) as error:
        return f"found, but {error}"
    return "found"
