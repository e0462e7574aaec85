"""What the pictures show, and that nothing in them overlaps or is cut off."""

import os
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.report import figures
from classifiers.report.figures import save_confusion, save_firing, save_gates
from fsvae_tcja.runtime.firing import Firing, LayerFiring
from tests.conftest import long

NAMES = ["Faces_easy", "airplanes", "electric_guitar", "Motorbikes", "cougar_body"]
TITLE = "N-Caltech101: test split, n = 1,740, accuracy 70.00% (best validation epoch 12 of 30), placement current"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    found = []
    savefig = figures.Figure.savefig
    monkeypatch.setattr(figures.Figure, "savefig", lambda self, *a, **k: (found.append(self), savefig(self, *a, **k)))
    return found


def confusion(K, n=500):
    generator = torch.Generator().manual_seed(K)
    true = torch.randint(K, (n,), generator=generator)
    predicted = torch.where(torch.rand(n, generator=generator) < 0.8, true, (true + 1) % K)
    return torch.bincount(true * K + predicted, minlength=K * K).view(K, K)


def boxes(texts, renderer):
    return [text.get_window_extent(renderer) for text in texts if text.get_visible() and text.get_text()]


def assert_apart(texts, renderer):
    """No two neighbours overlap."""
    extents = boxes(texts, renderer)
    assert not any(a.overlaps(b) for a, b in pairwise(extents))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("K", [2, 10, 11, 20, 21, *(pytest.param(K, marks=long) for K in (4, 101))])
def test_confusion_is_readable(tmp_path, drawn, K, named):
    save_confusion(confusion(K), tmp_path / "c.png", TITLE, [NAMES[i % 5] for i in range(K)] if named else None)
    (figure,) = drawn
    matrix = figure.axes[0]
    (accuracies,) = matrix.child_axes
    renderer = figure._get_renderer()
    for texts in (matrix.get_xticklabels(), matrix.get_yticklabels(), matrix.texts, accuracies.texts):
        assert_apart(texts, renderer)
    assert bool(matrix.texts) == (K <= 20)
    cell = matrix.get_window_extent(renderer).width / K
    assert all(box.width < cell for box in boxes(matrix.texts, renderer))
    rows = accuracies.get_window_extent(renderer)
    assert (rows.y0, rows.y1) == pytest.approx((matrix.get_window_extent().y0, matrix.get_window_extent().y1))
    with Image.open(tmp_path / "c.png") as image:
        assert image.format == "PNG" and max(image.size) < 2500
        edge = np.array(image.convert("L"))
    assert (edge[[0, -1]] == 255).all() and (edge[:, [0, -1]] == 255).all()  # nothing is cut off


def test_confusion_shows_counts_shares_and_accuracies(tmp_path, drawn):
    matrix = torch.tensor([[6, 2, 0], [0, 0, 0], [1, 0, 3]])
    save_confusion(matrix, tmp_path / "c.png", "digits: test", ["a", "b", "c"])
    axis = drawn[0].axes[0]
    (accuracies,) = axis.child_axes
    assert {(t.get_position(), t.get_text()) for t in axis.texts} == {
        ((0, 0), "6"),
        ((1, 0), "2"),
        ((0, 2), "1"),
        ((2, 2), "3"),
    }  # x is predicted, y true
    assert np.allclose(axis.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0, 0.75]])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]
    assert axis.yaxis_inverted()  # the first class on top
    assert [bar.get_width() for bar in accuracies.patches] == [0.75, 0, 0.75]
    assert [text.get_text() for text in accuracies.texts] == ["75.0%", "no inputs", "75.0%"]
    assert drawn[0].get_suptitle() == "digits: test"


def test_gates_have_one_scale(tmp_path, drawn):
    gates = {"1 64C": torch.rand(4, 64) * 0.2 + 0.4, "3 128C": torch.full((4, 128), 0.5)}
    gates["3 128C"][2, 7] = 0.9
    save_gates(gates, tmp_path / "g.png", "digits: gates of test image 0")
    first, second, bar = drawn[0].axes
    assert np.allclose(first.images[0].get_array(), gates["1 64C"])
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 1)
    one = gates["1 64C"]
    assert first.get_title("left") == f"layer 1 64C: mean {one.mean():.2f}, from {one.min():.2f} to {one.max():.2f}"
    assert (second.get_xlabel(), second.get_ylabel()) == ("channel", "step t")
    assert first.yaxis_inverted()  # time runs down
    assert first.images[0].get_extent() == [-0.5, 63.5, 4.5, 0.5]  # steps 1 to 4
    shades = np.array(first.images[0].get_cmap()(np.linspace(0, 1, 9)))[:, :3] @ (0.299, 0.587, 0.114)
    assert (np.diff(shades) > 0).all()  # also in grey
    assert bar.get_ylabel() == "gate, 0 to 1"
    assert drawn[0].get_suptitle() == "digits: gates of test image 0"


@pytest.mark.parametrize("panels", [1, 2, 8])
def test_the_legend_of_the_gates_fits(tmp_path, drawn, panels):
    name = "decoder.blocks.{}, mean over 64"  # as samples/gates.py has it
    save_gates({name.format(i): torch.rand(4, 64) for i in range(panels)}, tmp_path / "g.png", "gates")
    first, *_, bar = drawn[0].axes
    renderer = drawn[0]._get_renderer()
    assert first._left_title.get_window_extent(renderer).x1 < bar.get_window_extent(renderer).x0
    assert bar.yaxis.label.get_window_extent(renderer).height < bar.get_window_extent(renderer).height


@pytest.mark.parametrize("n", [1, 3, 17])
def test_firing_shows_every_layer_from_the_top(tmp_path, drawn, n):
    layers = [LayerFiring(f"{i} 256R/2 conv 1", 100, 0.00013 * (i + 1), 0.5 / (i + 1), 0.01 * i) for i in range(n)]
    save_firing(Firing(10, 4, tuple(layers)), tmp_path / "f.png", TITLE)
    rates, ends = drawn[0].axes
    renderer = drawn[0]._get_renderer()
    for axis in (rates, ends):
        assert_apart(axis.get_xticklabels(), renderer)
    assert_apart(rates.get_yticklabels(), renderer)
    assert not drawn[0]._suptitle.get_window_extent(renderer).overlaps(ends.get_legend().get_window_extent(renderer))
    assert [bar.get_width() for bar in rates.patches] == [layer.rate for layer in layers]
    assert [bar.get_width() for bar in ends.patches] == [x.dead for x in layers] + [x.saturated for x in layers]
    assert [label.get_text() for label in rates.get_yticklabels()] == [layer.name for layer in layers]
    assert rates.yaxis_inverted()


def test_the_users_backend_stays(tmp_path):
    before = matplotlib.rcParams._get("backend")
    save_gates({"1 64C": torch.rand(4, 8)}, tmp_path / "g.png", "gates")
    assert matplotlib.rcParams._get("backend") == before
    assert os.listdir(tmp_path) == ["g.png"]


def test_bad_input(tmp_path):
    path = tmp_path / "x.png"
    with pytest.raises(ValueError, match=r"\[K, K\] whole numbers, found torch.int64 \[2, 3\]"):
        save_confusion(torch.zeros(2, 3, dtype=torch.int64), path, "")
    with pytest.raises(ValueError, match=r"whole numbers, found torch.float32 \[2, 2\]"):
        save_confusion(torch.ones(2, 2), path, "")
    with pytest.raises(ValueError, match="at least one input and no negative"):
        save_confusion(torch.zeros(2, 2, dtype=torch.int64), path, "")
    with pytest.raises(ValueError, match="a name for each of 2 classes, found 3"):
        save_confusion(confusion(2), path, "", ["a", "b", "c"])
    with pytest.raises(ValueError, match="this network has no TCJA"):
        save_gates({}, path, "")
    with pytest.raises(ValueError, match="no spiking layer"):
        save_firing(Firing(1, 1, ()), path, "")
    with pytest.raises(ValueError, match=r"x.jpg: its name must end in .png"):
        save_confusion(confusion(2), tmp_path / "x.jpg", "")
    assert not list(tmp_path.iterdir())
