"""Images of a label from a prior that was told clusters."""

from dataclasses import replace

import pytest
import torch

from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.vae import FSVAE, load, save
from fsvae_tcja.vae.checkpoint import for_drawing
from fsvae_tcja.vae.latent import escape
from fsvae_tcja.vae.latent.label_counts import LabelCounts
from fsvae_tcja.vae.noise import Streams

from ..conftest import awake
from .test_escape import CLUSTERED, MODEL, images_of

CLUSTERS = 4
CODES = [[0] * 24, [0] * 12 + [1] * 12, [1] * 24, [1] * 12 + [0] * 12]
HELD = [[0, 0, 0], [0, 2, 2, 2], [2], [-1, -1]]  # the labels of the images that have such a code
COUNTS = torch.tensor([[3, 0, 0], [1, 0, 3], [0, 0, 1], [0, 0, 0]])


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(escape, "find_centres", lambda codes, clusters: torch.tensor(CODES).float())
    model = awake(replace(MODEL, latent=replace(CLUSTERED, clusters=CLUSTERS)))
    codes = [CODES[cluster] for cluster, labels in enumerate(HELD) for _ in labels]
    labels = [label for labels in HELD for label in labels]
    model.latent.start_stage(torch.tensor(codes, dtype=torch.uint8).view(-1, 3, 8), torch.tensor(labels))
    torch.nn.init.normal_(model.latent.prior.Yd)  # as trained: clusters differ in what is drawn of them
    return model


def test_the_labels_of_the_images_in_each_cluster_are_counted(model):
    assert torch.equal(model.latent.label_counts.counts, COUNTS)


def test_a_label_is_drawn_from_clusters_that_hold_it(model):
    n = 4000
    noise = model.latent.noise(Streams(0, 0, n))
    for label, expected in ((0, [3, 1 / 4, 0, 0]), (2, [0, 3 * 3 / 4, 1, 0])):  # p(y | label) p(label | y)
        drawn = torch.bincount(model.latent.kinds_for(torch.full((n,), label), noise), minlength=CLUSTERS)
        expected = torch.tensor(expected) / sum(expected)
        assert torch.equal(drawn > 0, expected > 0)
        torch.testing.assert_close(drawn / n, expected, atol=0.03, rtol=0)


def test_the_purity_is_the_share_of_the_label_where_it_is_drawn(model):
    counts = model.latent.label_counts
    assert counts.purity(0) == pytest.approx((3 * 1 + 1 / 4 * 1 / 4) / (3 + 1 / 4))
    assert counts.purity(2) == pytest.approx((9 / 4 * 3 / 4 + 1 * 1) / (9 / 4 + 1))


def test_an_image_of_a_label_depends_on_its_seed_alone(model):
    labels = torch.arange(40) % 2 * 2
    drawn = model.sample(40, seed=5, labels=labels)
    assert len(drawn.flatten(1).unique(dim=0)) > 20
    for n, batch_size in ((40, 7), (9, 64), (1, 1)):
        assert torch.equal(model.sample(n, seed=5, labels=labels[:n], batch_size=batch_size), drawn[:n])
    assert not torch.equal(model.sample(40, seed=6, labels=labels), drawn)
    assert not torch.equal(model.sample(40, seed=5, labels=2 - labels), drawn)
    noise = model.latent.noise(Streams(5, 0, 40))
    assert torch.equal(model.sample(40, noise=noise, labels=labels), drawn)
    images = model.decode(model.latent.sample(noise, model.latent.kinds_for(labels, noise)))
    torch.testing.assert_close(images, drawn, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (-1, r"labels must be int64 \[2\] in 0\.\.2, found -1 to 0"),
        (3, "found 0 to 3"),
        (1, r"in 0\.\.2 that a training image had, found 1, which none had"),
    ],
)
def test_other_labels_are_refused(model, label, message):
    with pytest.raises(ValueError, match=message):
        model.sample(2, labels=torch.tensor([0, label]))


@pytest.mark.parametrize("labels", [[-1] * 5, [0, 1, 2, 3, 4]], ids=["none", "more than clusters"])
def test_labels_that_are_not_counted(model, labels):
    model.latent.start_stage(torch.eye(24, dtype=torch.uint8)[:5].view(5, 3, 8), torch.tensor(labels))
    with pytest.raises(ValueError, match="this model draws without labels"):
        model.sample(2, labels=torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("half", [False, True])
def test_files_hold_the_counts(model, tmp_path, half):
    save(model, tmp_path / "m.safetensors", half=half)
    again = load(tmp_path / "m.safetensors")
    assert torch.equal(again.latent.label_counts.counts, model.latent.label_counts.counts)
    labels = torch.tensor([2, 0, 2])
    assert half or torch.equal(again.sample(3, labels=labels), model.sample(3, labels=labels))
    assert for_drawing(again).latent.label_counts.purity(2) == model.latent.label_counts.purity(2)


def test_a_file_without_counts_draws_without_labels(model, tmp_path):
    save(model, tmp_path / "m.safetensors")
    tensors, metadata = checkpoint.read(tmp_path / "m.safetensors")
    del metadata["label_counts"]
    checkpoint.write(tmp_path / "old.safetensors", tensors, metadata)
    old = load(tmp_path / "old.safetensors")
    assert torch.equal(old.sample(3), model.sample(3))
    with pytest.raises(ValueError, match="this model draws without labels: it was trained without them"):
        old.sample(2, labels=torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("counts", [[[1, 2]], [[0.5]] * CLUSTERS, [[-1]] * CLUSTERS, [[1], [1, 2]], [], [1] * CLUSTERS])
def test_counts_that_do_not_fit_the_model_are_refused(model, tmp_path, counts):
    save(model, tmp_path / "m.safetensors")
    tensors, metadata = checkpoint.read(tmp_path / "m.safetensors")
    checkpoint.write(tmp_path / "bad.safetensors", tensors, metadata | {"label_counts": counts})
    with pytest.raises(ValueError, match=r"bad\.safetensors holds no configuration that a model can be built from"):
        load(tmp_path / "bad.safetensors")


def test_the_counts_are_no_weights(model):
    """A training starts from the weights, and a score is named by their hash: other images have other counts."""
    assert not [name for name in model.state_dict() if "count" in name]
    other = FSVAE(model.config).eval()
    other.load_state_dict(model.state_dict())
    assert other.latent.label_counts is None
    assert torch.equal(other.encode(images_of(2)), model.encode(images_of(2)))


def test_counts_are_whole_numbers():
    with pytest.raises(
        ValueError, match=r"counts must be int64 \[clusters, labels\] >= 0, found torch.float32 \[2, 3\]"
    ):
        LabelCounts(torch.ones(2, 3))
