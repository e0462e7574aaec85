"""Images at the door: what is refused, and how a stream is regrouped."""

import pytest
import torch

from eval import Autoencoder
from eval.images import as_float, as_grey, as_rgb, as_uint8, canonical, check_images, regroup


def test_good_images_pass():
    check_images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), channels=1, size=8)
    check_images(torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"expected images \[B, C, H, W\] with C = 1 or 3, found shape \[3, 8, 8\]"),
        (torch.zeros(1, 2, 8, 8), r"found shape \[1, 2, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8), "takes 1-channel images, found 3 channels"),
        (torch.zeros(1, 1, 8, 9), "takes 8 x 8 images, found 8 x 9"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), "uint8 or floating point type, found torch.int64"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        check_images(images, channels=1, size=8)


@pytest.mark.parametrize(("height", "width", "trained"), [(64, 64, True), (28, 28, False), (64, 48, False)])
def test_a_network_is_only_advised_of_a_size_that_there_is(height, width, trained):
    with pytest.raises(ValueError, match="resize them first") as error:
        check_images(torch.zeros(1, 1, height, width), size=32)
    assert ("train a network on such ones" in str(error.value)) is trained
    if trained:
        Autoencoder(1, height)


def test_stated_ranges_are_brought_to_one():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    for value_range, scale, shift in (("-1..1", 1 / 127.5, -1), ("0..1", 1 / 255, 0), ("0..255", 1, 0)):
        assert torch.equal(as_uint8(canonical(levels * scale + shift, value_range)), levels)


@pytest.mark.parametrize(
    ("pixel", "value_range", "message"),
    [
        (float("nan"), "-1..1", "NaN or infinite pixels"),
        (float("inf"), "-1..1", "NaN or infinite pixels"),
        (255.0, "-1..1", r"pixels in -1..1, found 255 to 255; state their range"),
        (-0.5, "0..1", r"pixels in 0..1, found -0.5 to -0.5"),
        (256.0, "0..255", r"pixels in 0..255, found 256 to 256"),
    ],
)
def test_pixels_outside_the_stated_range_are_refused(pixel, value_range, message):
    with pytest.raises(ValueError, match=message):
        canonical(torch.full((1, 1, 8, 8), pixel), value_range)


def test_grey_becomes_rgb():
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(as_rgb(grey), torch.cat([grey] * 3, 1))
    rgb = torch.rand(2, 3, 4, 4)
    assert torch.equal(as_rgb(rgb), rgb)


def test_grey_saved_as_rgb_is_grey():
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(as_grey(as_rgb(grey)), grey)
    assert as_grey(grey) is grey
    rgb = as_rgb(grey).clone()
    rgb[0, 1, 2, 3] += 1e-3
    assert as_grey(rgb) is rgb


def test_conversions_round_to_the_nearest_level():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(as_uint8(as_float(levels)), levels)
    assert as_uint8(levels) is levels
    assert as_uint8(torch.tensor([0.003]).view(1, 1, 1, 1)).item() == 128  # 127.88


@pytest.mark.parametrize("batch", [1, 3, 4, 10, 64])
@pytest.mark.parametrize("pieces", [[23], [1] * 23, [5, 0, 11, 7]])
def test_regroup_keeps_order_and_size(batch, pieces):
    images = torch.arange(23)
    for n in (None, 2, 16, 23):
        groups = list(regroup(images.split(pieces), batch, n))
        assert torch.equal(torch.cat(groups), images[:n])
        assert all(len(group) == batch for group in groups[:-1]) and 0 < len(groups[-1]) <= batch


@pytest.mark.parametrize("batch", [3, 4, 16])
@pytest.mark.parametrize(
    ("other", "found"),
    [
        (torch.zeros(4, 1, 5, 4), r"\[1, 4, 4\] float32 and \[1, 5, 4\] float32"),
        (torch.zeros(4, 3, 4, 4), r"\[1, 4, 4\] float32 and \[3, 4, 4\] float32"),
        (torch.zeros(4, 1, 4, 4, dtype=torch.uint8), r"\[1, 4, 4\] float32 and \[1, 4, 4\] uint8"),
    ],
)
def test_regroup_refuses_images_of_several_kinds(batch, other, found):
    """Bytes among numbers in -1..1 would become numbers up to 255."""
    with pytest.raises(ValueError, match=f"of a stream must be of one shape and type, found {found}"):
        list(regroup([torch.zeros(4, 1, 4, 4), other], batch))


def test_regroup_takes_no_more_than_it_needs():
    drawn = []

    def endless():
        while True:
            drawn.append(5)
            yield torch.zeros(5)

    assert sum(len(group) for group in regroup(endless(), 4, 12)) == 12
    assert sum(drawn) == 15


def test_too_few_images_are_an_error():
    with pytest.raises(ValueError, match="10 images were asked for, only 7 were found"):
        list(regroup([torch.zeros(7)], 4, 10))
