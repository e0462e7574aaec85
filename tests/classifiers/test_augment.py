"""Augmentation: closed forms, ranges, the same change at every step, images and frames alike."""

import re

import pytest
import torch

from classifiers.augment import Augment, augment, check_fit, cutout, drop_events, mixup, roll, rotate

EVERY = {"flip": True, "rotate": 20.0, "roll": 3, "cutout": 4, "mixup": 0.5}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=6, c=3, h=9, w=12):
    return torch.rand(n, c, h, w, generator=seeded(1)) * 2 - 1


def counts(n=6, t=4, h=9, w=12):
    return torch.poisson(torch.full((n, t, 2, h, w), 0.7), generator=seeded(2))


def run(config, x, seed=0, classes=4):
    return augment(config, x, torch.arange(len(x)) % classes, classes, seeded(seed))


@pytest.mark.parametrize("x", [images(), counts()], ids=["images", "frames"])
def test_off_by_default(x):
    y, targets = run(Augment(), x)
    assert torch.equal(x, y)
    assert torch.equal(targets, torch.eye(4)[torch.arange(len(x)) % 4])


@pytest.mark.parametrize("x", [images(), counts()], ids=["images", "frames"])
@pytest.mark.parametrize("name", [*EVERY, "all"])
def test_the_generator_decides_alone(x, name):
    config = Augment(**(EVERY if name == "all" else {name: EVERY[name]}))
    torch.manual_seed(3)
    before, state = x.clone(), torch.get_rng_state()
    first, again, other = (run(config, x, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state()) and torch.equal(x, before)
    assert first[0].shape == x.shape and first[0].dtype == torch.float32
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("name", [*EVERY, "all"])
def test_every_step_is_changed_alike(name):
    """Frames that are the same at all steps and in both polarities stay so."""
    config = Augment(**(EVERY if name == "all" else {name: EVERY[name]}))
    x = counts()[:, :1, :1].expand(-1, 4, 2, -1, -1)
    y, _ = run(config, x)
    assert torch.equal(y, y[:, :1, :1].expand_as(y)) and not torch.equal(y, x)


def test_frames_and_their_steps_as_channels_are_changed_alike():
    """An image with T C channels gets what frames [T, C] get, where no pixel is blanked."""
    config, x = Augment(flip=True, roll=3, mixup=0.4), counts()
    frames, image = run(config, x), run(config, x.flatten(1, 2))
    assert torch.equal(frames[0].flatten(1, 2), image[0]) and torch.equal(frames[1], image[1])


def test_samples_are_changed_one_by_one():
    x = images(1).expand(64, -1, -1, -1)
    for name in ("flip", "rotate", "roll", "cutout"):
        y, _ = run(Augment(**{name: EVERY[name]}), x)
        different = len(y.flatten(1).unique(dim=0))
        assert different == 2 if name == "flip" else different > 20


def test_flip_mirrors_half_of_the_recordings():
    x = counts(600, 2, 3, 4)
    y, _ = run(Augment(flip=True), x)
    mirrored = (y == x.flip(-1)).flatten(1).all(1)
    same = (y == x).flatten(1).all(1)
    assert (mirrored | same).all() and 250 < (mirrored & ~same).sum() < 350  # 300 +- 4 standard deviations of 12


def test_roll_goes_around_the_edges():
    x = images()
    shifts = torch.tensor([[0, 0], [1, 0], [0, -2], [3, 3], [-9, 5], [2, 12]])
    y = roll(x, shifts)
    for image, rolled, (dy, dx) in zip(x, y, shifts.tolist(), strict=True):
        for row in range(9):
            for column in range(12):
                assert torch.equal(rolled[:, (row + dy) % 9, (column + dx) % 12], image[:, row, column])


def test_roll_draws_every_shift_up_to_its_setting():
    x = torch.zeros(2000, 1, 9, 12)
    x[:, 0, 4, 6] = 1
    y, _ = run(Augment(roll=2), x)
    place = y.flatten(1).argmax(1)
    rows, columns = (place // 12 - 4 + 2).bincount(), (place % 12 - 6 + 2).bincount()
    assert len(rows) == len(columns) == 5
    assert min(rows.min(), columns.min()) > 320 and max(rows.max(), columns.max()) < 480  # 400 +- 4 times 18


@pytest.mark.parametrize("turns", [-1, 0, 1, 2])
def test_rotation_by_right_angles_moves_pixels(turns):
    x = images(3, 2, 8, 8)
    assert torch.equal(rotate(x, torch.full((3,), 90.0 * turns), -1.0), torch.rot90(x, turns, (-2, -1)))


def test_rotation_of_a_wide_sensor_keeps_angles():
    """A point to the right of the centre of 20 x 40 pixels turns up by 90 degrees at the same distance."""
    x = torch.zeros(1, 1, 21, 41)
    x[0, 0, 10, 26] = 1  # 6 to the right
    y = rotate(x, torch.tensor([90.0]), 0.0)
    assert y.nonzero().tolist() == [[0, 0, 4, 20]]  # 6 up


def test_rotation_is_exact_under_autocast():
    x, angle = images(2, 1, 100, 200), torch.tensor([7.0, -11.0])
    with torch.autocast("cpu", torch.bfloat16):
        y = rotate(x, angle, -1.0)
    assert torch.equal(y, rotate(x, angle, -1.0))


def test_rotation_fills_with_black_or_no_events():
    x, angle = torch.ones(1, 1, 8, 8), torch.tensor([45.0])
    for empty in (-1.0, 0.0):
        y = rotate(x, angle, empty)
        assert y[0, 0, 0, 0] == empty and y[0, 0, 4, 4] == 1 and set(y.unique().tolist()) == {empty, 1.0}


def test_rotation_draws_angles_up_to_its_setting():
    x = torch.zeros(500, 1, 41, 41)
    x[:, 0, 20, 40] = 1  # 20 to the right of the centre
    y, _ = run(Augment(rotate=30.0), x.unsqueeze(1))
    place = y.flatten(1).argmax(1)[y.flatten(1).sum(1) > 0]
    degrees = torch.atan2(20.0 - place // 41, place % 41 - 20.0).rad2deg()
    assert -31.5 < degrees.min() < -28 and 28 < degrees.max() < 31.5 and degrees.mean().abs() < 4


def test_cutout_blanks_a_square():
    x = images(3)
    y = cutout(x, 4, torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.99, 0.99]]), -1.0)
    blank = (y == -1).all(1)
    expected = torch.zeros(3, 9, 12, dtype=torch.bool)
    expected[0, 2:6, 4:8] = True  # about row 4, column 6
    expected[1, :2, :2] = True  # the rest lies outside
    expected[2, 6:, 9:] = True
    assert torch.equal(blank, expected)
    assert torch.equal(y.masked_fill(expected[:, None], 0), x.masked_fill(expected[:, None], 0))


def test_cutout_reaches_every_pixel():
    y, _ = run(Augment(cutout=3), torch.ones(400, 1, 2, 9, 12))
    assert ((y == 0).flatten(1, 2).any(1).sum(0) > 0).all()


def test_dropped_events_are_binomial():
    x = torch.full((40, 50, 50), 6.0)
    x[0] = 0
    kept = drop_events(x, 0.25, seeded())
    assert (kept[0] == 0).all() and (kept == kept.round()).all() and kept.min() == 0 and kept.max() == 6
    n = kept[1:].numel()
    assert kept[1:].mean() - 4.5 == pytest.approx(0, abs=5 * (1.125 / n) ** 0.5)  # 6 p, 6 p (1 - p)
    assert kept[1:].var() == pytest.approx(1.125, rel=0.03)


def test_event_drop_thins_frames():
    x = counts(50)
    y, _ = run(Augment(event_drop=0.4), x)
    assert (y <= x).all() and y.sum() / x.sum() == pytest.approx(0.6, abs=0.02)


def test_mixup_mixes_inputs_and_labels_alike():
    """With inputs that are their own labels, mixed inputs are mixed labels."""
    x = torch.eye(5)[torch.arange(200) % 5][:, :, None, None].expand(-1, -1, 4, 4)
    y, targets = augment(Augment(mixup=0.5), x, torch.arange(200) % 5, 5, seeded())
    torch.testing.assert_close(y, targets[:, :, None, None].expand_as(y))
    torch.testing.assert_close(targets.sum(1), torch.ones(200))
    assert ((targets > 0.01).sum(1) == 2).any() and targets.min() >= 0


def test_mixup_weights_are_beta():
    n, alpha = 4000, 0.5
    targets = torch.cat([torch.eye(2)[:1].expand(n, 2), torch.eye(2)[1:].expand(n, 2)])
    _, mixed = mixup(torch.zeros(2 * n, 1, 1, 1), targets, alpha, seeded())
    w = mixed[:n, 0]  # 1, or the weight, of half of them
    w = w[w < 1]
    assert len(w) == pytest.approx(n / 2, rel=0.1)
    assert w.mean() == pytest.approx(0.5, abs=0.04) and w.var() == pytest.approx(
        1 / 8, rel=0.1
    )  # 1 / (4 (2 alpha + 1))


def test_what_is_blanked_is_black_in_images_and_no_event_in_frames():
    for x, empty in ((torch.ones(4, 1, 9, 9), -1.0), (torch.ones(4, 2, 1, 9, 9), 0.0)):
        y, _ = run(Augment(cutout=5), x)
        assert set(y.unique().tolist()) == {empty, 1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotate": -1.0}, "rotate must be in 0..180, found -1.0"),
        ({"rotate": 181.0}, "rotate must be in 0..180, found 181.0"),
        ({"roll": -1}, "roll must be 0 or a larger finite number, found -1"),
        ({"cutout": -2}, "cutout must be 0 or a larger finite number, found -2"),
        ({"mixup": float("nan")}, "mixup must be 0 or a larger finite number, found nan"),
        ({"mixup": float("inf")}, "mixup must be 0 or a larger finite number, found inf"),
        ({"event_drop": 1.0}, "event_drop must be in [0, 1), found 1.0"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Augment(**settings)


def test_wrong_inputs():
    with pytest.raises(ValueError, match=re.escape("frames [B, T, C, H, W], found torch.int16 [6, 4, 2, 9, 12]")):
        run(Augment(), counts().short())
    with pytest.raises(ValueError, match=re.escape("found torch.float32 [9, 12]")):
        run(Augment(), torch.zeros(9, 12))
    with pytest.raises(ValueError, match="event_drop drops events, these are images; set it to 0"):
        run(Augment(event_drop=0.1), images())
    for settings in ({"roll": 10}, {"cutout": 10}):
        with pytest.raises(ValueError, match="roll and cutout must fit into 9 x 12 pixels"):
            run(Augment(**settings), images())
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2, found 0 to 3"):
        augment(Augment(), images(4), torch.arange(4), 3, seeded())


def test_directions_are_neither_mirrored_nor_turned():
    for settings, message in (
        ({"flip": True}, "flip makes left of right, which are classes of this data set; set it to False"),
        ({"rotate": 45.0}, "rotate must be below 45 degrees, found 45.0"),
    ):
        with pytest.raises(ValueError, match=message):
            check_fit(Augment(**settings), (34, 34), events=True, directed=True)
        check_fit(Augment(**settings), (34, 34), events=True)
    check_fit(Augment(rotate=44.0, roll=5, event_drop=0.1), (34, 34), events=True, directed=True)
