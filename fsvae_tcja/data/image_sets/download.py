"""torchvision, which downloads data sets, imported when it is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def torchvision_dataset(name: str) -> Any:
    """torchvision's class of that name."""
    from torchvision import datasets

    return getattr(datasets, name)


def torchvision_download(name: str, **options: str) -> Callable[[Path], object]:
    """A function that downloads torchvision's data set into a folder."""
    return lambda root: torchvision_dataset(name)(root, download=True, **options)
