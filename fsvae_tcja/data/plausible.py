"""Whether the images of a data set look as if they were read as they were meant."""

import numpy as np

from .dataset import LabelledDataset

LOOKED_AT = 16  # images, spread over the data set
DARK = 1  # of 255: what masks and arrays of 0 and 1 come to
NEARLY_DARK = 127  # of 255: more than half of the range is not used


def check_different(dataset: LabelledDataset) -> None:
    """Refuse a data set whose images are all equal; it is read up to the first that differs.

    Raises:
        ValueError: they are.
    """
    n, first = len(dataset), dataset.load([0])
    if n > 1 and all((dataset.load([i]) == first).all() for i in range(1, n)):
        low, high = first.aminmax()
        raise ValueError(
            f"the {n:,} images of {dataset.name}, {dataset.split}, are all equal, with pixels from {low} to {high} of "
            "255, so there is nothing to learn from them; look whether they were saved as they should be (what is "
            "transparent is drawn on white)"
        )


def darkness(dataset: LabelledDataset, wide: bool) -> str:
    """A note on images that use next to nothing of 0..255, or, where their files have a wide range, less than half.

    "" for others.

    Args:
        dataset: of images uint8.
        wide: whether their files hold levels of 16 bits or of floating point.
    """
    chosen = sorted({int(i) for i in np.linspace(0, len(dataset) - 1, LOOKED_AT)})
    brightest = int(dataset.load(chosen).max())
    if brightest > (NEARLY_DARK if wide else DARK):
        return ""
    return (
        f"{dataset.name}, {dataset.split}: no pixel of the {len(chosen)} images looked at exceeds {brightest} of 255; "
        "if their range is smaller than that of their files, scale them first"
    )
