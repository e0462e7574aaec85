"""Images in the containers of other programs: taken where the meaning is plain, else named."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from eval.opening import open_images

N = 9
LABELS = torch.arange(N) % 3


def collected(what, **options) -> torch.Tensor:
    return torch.cat([images for _, images in open_images(what, **options).batches(4, None)])


class Rows(Dataset):
    """A data set of PyTorch whose items are as they are given."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.mark.parametrize("channels", [1, 3])
def test_plain_containers(channels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, channels, 8, 6), generator=generator, dtype=torch.uint8)
    last = images.permute(0, 2, 3, 1).numpy()
    pil = [Image.fromarray(image.squeeze(2) if channels == 1 else image) for image in last]
    pairs = list(zip(images, LABELS.tolist(), strict=True))
    rows = [{"pixel_values": image, "label": label} for image, label in pairs]
    containers = {
        "pair": (images, LABELS),
        "pair with a list": [images.numpy(), LABELS.tolist()],
        "dictionary": {"images": images, "labels": LABELS},
        "list of images": list(images),
        "list of arrays": list(last),
        "list of batches of arrays": np.array_split(last, 2),
        "list of pairs": pairs,
        "list of PIL images": pil,
        "data set of pairs": TensorDataset(images, LABELS),
        "data set of PIL images": Rows(list(zip(pil, LABELS.tolist(), strict=True))),
        "loader of dictionaries": DataLoader(Rows(rows), batch_size=4),
        "loader of lists": DataLoader(Rows(pairs), batch_size=4, collate_fn=list),
        "generator of images": iter(images),
        "generator of pairs": iter(pairs),
        "generator of arrays": iter(last),
        "generator of batches of arrays": iter(np.array_split(last, 2)),
        "generator that learns": (image.float().requires_grad_() for image in images),
        "callable of dictionaries": lambda start, count: {"image": images[start : start + count]},
    }
    if channels == 1:
        containers |= {
            "list of grey arrays": list(last[..., 0]),
            "list of their batches": np.array_split(last[..., 0], 2),
        }
    for key in ("image", "img"):
        containers[f"generator of {key}"] = iter([{key: images, "label": LABELS}])
    for kind, what in containers.items():
        learns = kind == "generator that learns"
        source = open_images(what, value_range="0..255" if learns else None)
        found = torch.cat([part for _, part in source.batches(4, N if source.endless else None)])
        assert torch.equal(((found + 1) * 127.5).round().to(torch.uint8) if learns else found, images), kind


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            {"x": 1, "y": 2},
            r"a dictionary with the keys \['x', 'y'\] holds the images: expected one of image, images, img",
        ),
        ([{"image": 1, "img": 2}], r"with the keys \['image', 'img'\]"),
        (iter(["a.png"]), "cannot take images from a batch of type str: give tensors"),
        ([None], "cannot take images from a batch of type NoneType"),
        ([], "there are no images to score: the list is empty"),
        (
            [np.zeros((4, 4)), np.zeros((5, 4))],
            r"of one shape and type, found \[1, 4, 4\] float64 and \[1, 5, 4\] float64",
        ),
        ([Image.new("RGBA", (4, 4))], "a PIL image of mode RGBA: convert it to L .grey. or RGB"),
        (
            iter([torch.zeros(5, dtype=torch.int64)]),
            r"expected images \[B, C, H, W\] with C = 1 or 3, found shape \[5\]",
        ),
        (TensorDataset(torch.zeros(4, 3)), r"expected images \[B, C, H, W\]"),
    ],
)
def test_what_is_not_plain_is_named(what, message):
    with pytest.raises(ValueError, match=message):
        collected(what, value_range="0..1")


@pytest.mark.parametrize("sampler", [torch.utils.data.RandomSampler(range(N), num_samples=4), [0, 1, 2]])
def test_a_loader_with_a_choice_of_its_own_is_a_stream(sampler):
    """What it leaves out is not read behind its back."""
    images = torch.zeros(N, 1, 4, 4, dtype=torch.uint8)
    assert open_images(DataLoader(TensorDataset(images), sampler=sampler)).n is None
    assert open_images(DataLoader(TensorDataset(images), batch_size=4, drop_last=True)).n is None
    assert open_images(DataLoader(TensorDataset(images), batch_size=4, shuffle=True)).n == N
