import os
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.runtime import curves
from fsvae_tcja.runtime.curves import save_curves
from fsvae_tcja.runtime.pictures import GAP, LABEL_SIZE, save_grid, save_pairs, save_png
from fsvae_tcja.utils.atomic import replacing


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pixels(path) -> torch.Tensor:
    """[C, H, W]."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        array = np.array(image)
    return torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_save_png_keeps_every_pixel(tmp_path, channels):
    image = noise(channels, 5, 7)
    save_png(image, tmp_path / "new" / "uint8.png")
    save_png(to_float(image), tmp_path / "float.png")
    assert torch.equal(pixels(tmp_path / "new" / "uint8.png"), image)
    assert torch.equal(pixels(tmp_path / "float.png"), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_places_images_in_rows(tmp_path, channels):
    images = noise(5, channels, 4, 6)
    save_grid(images, tmp_path / "grid.png", columns=3, scale=2)
    grid = pixels(tmp_path / "grid.png")
    h, w = 2 * 4 + GAP, 2 * 6 + GAP  # one cell
    assert grid.shape == (channels, 2 * h + GAP, 3 * w + GAP)
    for i, image in enumerate(images):
        top, left = GAP + i // 3 * h, GAP + i % 3 * w
        cell = grid[:, top : top + 8, left : left + 12]
        assert torch.equal(cell, image.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert (grid[:, h:, 2 * w :] == 255).all()  # no sixth image


def test_grid_is_about_square_and_enlarges_small_images(tmp_path):
    save_grid(noise(64, 1, 32, 32), tmp_path / "grid.png")
    assert pixels(tmp_path / "grid.png").shape == (1, 8 * (96 + GAP) + GAP, 8 * (96 + GAP) + GAP)
    save_grid(noise(2, 1, 200, 200), tmp_path / "large.png", columns=8)
    assert pixels(tmp_path / "large.png").shape == (1, 200 + 2 * GAP, 2 * (200 + GAP) + GAP)


@pytest.mark.parametrize("title", ["FAD 12.3", "a score never travels alone: " * 6])
@pytest.mark.parametrize("channels", [1, 3])
def test_title_stands_above_the_unchanged_grid(tmp_path, title, channels):
    images = noise(4, channels, 32, 32)
    save_grid(images, tmp_path / "plain.png")
    save_grid(images, tmp_path / "titled.png", title=title)
    plain, titled = pixels(tmp_path / "plain.png"), pixels(tmp_path / "titled.png")
    height = titled.shape[1] - plain.shape[1]
    assert torch.equal(titled[:, height:, : plain.shape[2]], plain)
    text = titled[:, :height]
    assert text.min() == 0 and (text[:, :, -1] == 255).all() and (text[:, -1] == 255).all()  # written, not cut off


def test_a_title_is_read_where_the_picture_is_shrunk(tmp_path):
    """On a page 360 pixels wide its capitals have 8 pixels or more, and so have the letters beside pairs."""
    images = noise(64, 1, 32, 32)
    for title in (None, "HHH"):
        save_grid(images, tmp_path / f"{title}.png", columns=8, title=title)
    plain, titled = pixels(tmp_path / "None.png"), pixels(tmp_path / "HHH.png")
    ink = (titled[0, : titled.shape[1] - plain.shape[1]] < 128).any(1)
    assert ink.sum() * 360 / titled.shape[2] >= 8
    save_pairs(images, images, tmp_path / "pairs.png", columns=8)
    beside = pixels(tmp_path / "pairs.png")[0, : GAP + 96, : GAP + LABEL_SIZE]
    assert (beside < 128).any(0).sum() * 360 / titled.shape[2] >= 8


def test_pairs_put_reconstructions_below_originals(tmp_path):
    originals, reconstructions = noise(3, 1, 96, 96), noise(3, 1, 96, 96, seed=1)
    save_pairs(originals, to_float(reconstructions), tmp_path / "pairs.png", columns=2)
    picture = pixels(tmp_path / "pairs.png")
    labels, pairs = picture.split([GAP + LABEL_SIZE, picture.shape[2] - GAP - LABEL_SIZE], dim=2)
    second = GAP + 96 + GAP // 2
    assert torch.equal(pairs[:, GAP : GAP + 96, GAP : GAP + 96], originals[0])
    assert torch.equal(pairs[:, second : second + 96, GAP : GAP + 96], reconstructions[0])
    third = second + 96 + 3 * GAP
    assert torch.equal(pairs[:, third : third + 96, GAP : GAP + 96], originals[2])
    rows = [labels[:, top : top + 96] for top in (GAP, second, third)]
    assert torch.equal(rows[0], rows[2]) and not torch.equal(rows[0], rows[1])
    for row in rows:  # written, and whole
        assert row.min() == 0 and (row[:, [0, -1]] == 255).all() and (row[:, :, [0, -1]] == 255).all()


def test_bad_images_are_refused(tmp_path):
    path = tmp_path / "x.png"
    with pytest.raises(ValueError, match=r"C = 1 or 3, found shape \[2, 2, 4, 4\]"):
        save_grid(noise(2, 2, 4, 4), path)
    with pytest.raises(ValueError, match=r"N >= 1 .* found shape \[0, 1, 4, 4\]"):
        save_grid(noise(0, 1, 4, 4), path)
    with pytest.raises(ValueError, match=r"one image \[C, H, W\], found shape \[4, 4\]"):
        save_png(noise(4, 4), path)
    with pytest.raises(ValueError, match=r"in \[-1, 1\], found values from 0 to 2"):
        save_grid(torch.arange(3.0).view(3, 1, 1, 1), path)
    with pytest.raises(ValueError, match=r"originals \[2, 1, 4, 4\] and reconstructions \[3, 1, 4, 4\] differ"):
        save_pairs(noise(2, 1, 4, 4), noise(3, 1, 4, 4), path)
    with pytest.raises(ValueError, match=r"x.jpg: its name must end in .png"):
        save_grid(noise(2, 1, 4, 4), tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())


def test_replacing_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "x.png"
    save_png(noise(1, 4, 4), path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="disk full"), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError("disk full")
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.png"]


# curves


def test_no_line_is_drawn_where_nothing_was_measured():
    """Such as the reconstruction error over the stage of the prior."""
    steps = [*range(0, 300), *range(2000, 2300)]
    rows = [{"step": step, "mse": 1.0 if step < 300 else 3.0} for step in steps]
    (axis,) = curves.curve_figures(rows)["mse"].axes
    for line in axis.lines:
        x, y = line.get_data()
        assert np.isnan(x).sum() == np.isnan(y).sum() == 1
        assert not ((x > 299) & (x < 2000)).any() and set(y[~np.isnan(y)]) == {1.0, 3.0}
    (whole,) = curves.curve_figures(rows[:300])["mse"].axes
    assert not any(np.isnan(line.get_xdata()).any() for line in whole.lines)


@pytest.mark.parametrize(
    "steps",
    [
        [*range(0, 300), *range(800, 3000, 500)],  # a stage that logs more rarely
        [*range(0, 2500, 500), *range(2501, 2800)],
        [*range(0, 300), 5000],  # the last point
        [0, *range(5000, 5300)],
        [*range(0, 20), 1000, 3000, *range(4000, 4020)],
        [7],
    ],
)
def test_every_point_is_drawn_by_a_line_or_a_marker(steps):
    (axis,) = curves.curve_figures([{"step": step, "mse": 1.0} for step in steps])["mse"].axes
    line = axis.lines[0]
    drawn = np.isfinite(np.concatenate([[np.nan], line.get_xdata(), [np.nan]]))
    lonely = drawn[1:-1] & ~drawn[:-2] & ~drawn[2:]
    assert drawn.sum() == len(steps) and (not lonely.any() or line.get_marker() == ".")


def test_the_mean_of_a_curve_stays_within_its_pieces():
    """One shorter than the window, between two gaps."""
    steps = [*range(0, 300), *range(2000, 2003), *range(9000, 9300)]
    (axis,) = curves.curve_figures([{"step": step, "mse": float(step // 1000)} for step in steps])["mse"].axes
    x, y = axis.lines[1].get_data()
    assert np.isnan(x).sum() == 2 and set(y[~np.isnan(y)]) == {0.0, 2.0, 9.0}
    assert x[y == 2.0] == pytest.approx([2001])


ROWS = [{"step": i, "epoch": i // 10, "mse": 0.5**i, "loss": 1.0 + i, "note": "x"} for i in range(20)]
ROWS.append({"step": 20, "test_mse": 0.25, "loss": float("nan")})


def test_panels_group_curves_and_pass_over_what_is_no_number():
    panels = curves._panels(ROWS, "step")
    assert {name: list(panel) for name, panel in panels.items()} == {
        "mse": ["mse", "test_mse"],
        "loss": ["loss"],
    }
    assert panels["mse"]["test_mse"].tolist() == [[20, 0.25]]
    assert len(panels["loss"]["loss"]) == 20


def test_running_mean():
    points = np.stack([np.arange(6), np.arange(6) ** 2], axis=1).astype(float)
    assert np.allclose(curves._running_mean(points, 3), [[1, 5 / 3], [2, 14 / 3], [3, 29 / 3], [4, 50 / 3]])
    assert np.allclose(curves._running_mean(points[:2], 3), [[0.5, 0.5]])


def test_axes_are_labelled_and_log_where_the_span_is_wide(monkeypatch, tmp_path):
    drawn = []
    savefig = curves.Figure.savefig
    monkeypatch.setattr(curves.Figure, "savefig", lambda self, *a, **k: (drawn.append(self), savefig(self, *a, **k)))
    backend = matplotlib.rcParams._get("backend")
    save_curves(ROWS, tmp_path / "curves.png", units={"mse": "MSE, images in [-1, 1]"})
    mse, loss = drawn[0].axes
    assert (mse.get_xlabel(), mse.get_ylabel()) == ("step (iterations)", "MSE, images in [-1, 1] (log scale)")
    assert loss.get_ylabel() == "loss (log scale)"
    assert (mse.get_yscale(), loss.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in mse.get_legend().get_texts()] == ["training", "test"]
    assert pixels(tmp_path / "curves.png").shape[0] == 4 and os.listdir(tmp_path) == ["curves.png"]
    assert matplotlib.rcParams._get("backend") == backend


def test_narrow_and_negative_quantities_stay_linear(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(curves.Figure, "savefig", lambda self, path, **k: (drawn.append(self), path.touch()))
    rows = [{"step": i, "narrow": 1 + i / 100, "negative": -(10.0**i)} for i in range(300)]
    save_curves(rows, tmp_path / "curves.png")
    assert [axis.get_yscale() for axis in drawn[0].axes] == ["linear", "linear"]


def test_ticks_of_a_short_run_are_whole_steps():
    figure = curves.curve_figures([{"step": 5, "mse": 2.0}, {"step": 6, "mse": 1.0}])["mse"]
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize("steps", [22_000, 100_000])
def test_ticks_of_a_long_run_do_not_overlap(steps):
    figure = curves.curve_figures([{"step": step, "mse": 2.0} for step in range(1, steps, steps // 100)])["mse"]
    FigureCanvasAgg(figure).draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert len(boxes) > 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_each_quantity_as_a_figure_of_its_own():
    figures = curves.curve_figures([{"step": i, "mse": 1 + i % 7, "test_mse": 2.0} for i in range(300)])
    (axis,) = figures["mse"].axes
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == [
        "training, raw",
        "training, mean of 6",
        "test, raw",
        "test, mean of 6",
    ]
    assert curves.curve_figures([{"loss": 1.0}]) == {}


def test_runs_in_one_figure_are_told_apart_without_colours():
    runs = {name: [{"step": i, "test_mse": i + 1.0} for i in range(3)] for name in ("a", "b")}
    (axis,) = curves.compared_figure("test_mse", runs | {"c": []}).axes
    assert [line.get_label() for line in axis.lines] == ["a", "b"]
    assert len({line.get_linestyle() for line in axis.lines}) == 2
    assert curves.compared_figure("mse", runs) is None


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw: no row of the metrics holds 'step' and another number"):
        save_curves([{"loss": 1.0}, {"step": 1}], tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())
