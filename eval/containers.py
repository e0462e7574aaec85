"""Images in the containers of other programs: pairs, dictionaries, lists of arrays, single images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from .arrays import FLOATING, check_type
from .images import concatenated

KEYS = ("image", "images", "img", "pixel_values")
"""Under which a dictionary holds its images."""
CHANNELS = (1, 3)


def images_of(item: Any) -> Tensor:
    """The images [B, C, H, W] of a batch or of a single one, however they are packed.

    Args:
        item: a tensor [B, C, H, W] or [C, H, W]; an array, [B, H, W], [B, H, W, C], [H, W], [H, W, C] too; a PIL image
            that is grey or RGB; a dictionary with one of KEYS; a tuple or list whose first member is one of these,
            such as (images, labels), or a list of single ones.

    Raises:
        ValueError: anything else; what was found is named.
    """
    if isinstance(item, Tensor):
        single = item.dim() == 3 and item.shape[0] in CHANNELS
        return item.detach().unsqueeze(0) if single else item.detach()
    if isinstance(item, np.ndarray):
        return from_array(item, single=has_channels(item) or item.ndim == 2)
    if isinstance(item, Image):
        if item.mode not in ("L", "RGB"):
            raise ValueError(f"cannot take a PIL image of mode {item.mode}: convert it to L (grey) or RGB")
        return from_array(np.asarray(item), single=True)
    if isinstance(item, Mapping):
        found = [key for key in KEYS if key in item]
        if len(found) != 1:
            raise ValueError(
                f"cannot tell which member of a dictionary with the keys {list(item)} holds the images: expected one "
                f"of {', '.join(KEYS)}; give the images alone"
            )
        return images_of(item[found[0]])
    if isinstance(item, (tuple, list)) and item:
        return joined(item) if isinstance(item, list) and not _are_parts(item) else images_of(item[0])
    raise ValueError(
        f"cannot take images from a batch of type {type(item).__name__}: give tensors [B, C, H, W], arrays, pairs "
        f"(images, labels) or dictionaries with one of {', '.join(KEYS)}"
    )


def joined(items: Sequence[Any]) -> Tensor:
    """The images [N, C, H, W] of a list of batches, or of single images.

    Raises:
        ValueError: none, or of several shapes or types.
    """
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    if len(arrays) == len(items):  # what a 3-d array is, all of them say together
        single = all(has_channels(array) or array.ndim == 2 for array in arrays)
        parts = [from_array(array, single=single) for array in arrays]
    else:
        parts = [images_of(item) for item in items]
    if not parts:
        raise ValueError("there are no images to score: the list is empty")
    return concatenated(parts, "a list")


def of_stream(items: Iterable[Any]) -> Iterator[Tensor]:
    """The images of each item, as `images_of` has them; a 3-d array behind one of grey images is of such too: the last
    three of a stream are no colours.

    Raises:
        ValueError: as `images_of`.
    """
    grey = False
    for item in items:
        if isinstance(item, np.ndarray) and item.ndim == 3:
            grey = grey or not has_channels(item)
            yield from_array(item, single=not grey)
        else:
            yield images_of(item)


def labels_beside(what: Any) -> Tensor | None:
    """The labels int64 [N] in a pair (images [N, ...], labels), None where it is none."""
    if not (isinstance(what, (tuple, list)) and len(what) == 2):
        return None
    images, labels = what
    if not isinstance(images, (Tensor, np.ndarray)) or isinstance(labels, Mapping) or not hasattr(labels, "__len__"):
        return None
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        return None
    counts = labels.dim() == 1 and len(labels) == len(images) and not labels.is_floating_point()
    return labels.long() if counts and images.ndim > 2 else None


def has_channels(array: np.ndarray) -> bool:
    """Whether a 3-d array looks like one image [C, H, W] or [H, W, C] rather than grey ones [N, H, W]."""
    return array.ndim == 3 and (array.shape[0] in CHANNELS or array.shape[2] in CHANNELS)


def from_array(array: np.ndarray, single: bool = False) -> Tensor:
    """[N, H, W], [N, H, W, C] or [N, C, H, W] (a single one: without N) -> [N, C, H, W].

    Raises:
        ValueError: another shape or type.
    """
    check_type(array, (np.dtype(np.uint8), *FLOATING), "pixels")
    tensor = torch.from_numpy(np.array(array, order="C") if not array.flags.writeable else np.ascontiguousarray(array))
    tensor = tensor.unsqueeze(0) if single else tensor
    if tensor.dim() == 3:
        return tensor.unsqueeze(1)
    if tensor.dim() == 4 and tensor.shape[1] in CHANNELS:
        return tensor
    if tensor.dim() == 4 and tensor.shape[3] in CHANNELS:
        return tensor.permute(0, 3, 1, 2)
    raise ValueError(f"expected images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, found {array.shape}")


def _are_parts(item: list[Any]) -> bool:
    """Whether a list is the parts of one batch, [images, labels], as PyTorch collates pairs; else it is of images."""
    if not isinstance(item[0], (Tensor, np.ndarray)):
        return False
    return item[0].ndim == 4 or (len(item) > 1 and getattr(item[1], "ndim", 0) < 2)
