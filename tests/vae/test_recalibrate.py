from dataclasses import replace

import pytest
import torch

from fsvae_tcja.core import TDBatchNorm
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.data.pixels import to_float
from fsvae_tcja.vae import FSVAE, Bernoulli, Escape, FSVAEConfig, Hierarchical
from fsvae_tcja.vae.recalibrate import recalibrate
from tests.conftest import long

from .conftest import SMALL, awake

ESCAPE = Escape(groups=2, hidden=12, joint_groups=1, joint_hidden=8, classes=3)
TWO = Hierarchical(
    groups=2, hidden=12, joint_groups=1, joint_hidden=8, classes=3, base=4, detail_groups=9, detail_hidden=8
)
LATENTS = {"stream": Bernoulli(3), "prefix": Bernoulli(3, "prefix"), "escape": ESCAPE, "hierarchical": TWO}


@pytest.fixture
def images():
    pixels = torch.randint(0, 256, (600, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return MemoryImages("toy", "train", pixels, torch.arange(600) % 3, 3)


def model_of(name):
    model = awake(replace(SMALL, T=3, latent=LATENTS[name]))
    if name in ("escape", "hierarchical"):
        model.latent.start_stage(torch.zeros(9, 3, SMALL.L, dtype=torch.uint8), torch.arange(9) % 3)
    return model


def states(model):
    """Weights, and running statistics."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    statistics = {name: value for name, value in state.items() if ".running_" in name}
    rest = {name: value for name, value in state.items() if ".running_" not in name and "num_batches" not in name}
    return rest, statistics


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", [pytest.param("stream", marks=long), "prefix", "escape"])
def test_it_is_idempotent_whatever_the_statistics_were_and_leaves_the_weights_alone(images, name):
    model = model_of(name)
    weights, before = states(model)
    recalibrate(model, images, 600)
    assert not model.training
    after, first = states(model)
    assert same(weights, after)
    assert all(not torch.equal(first[name], before[name]) for name in first)  # every norm was shown something
    recalibrate(model, images, 600)
    assert same(states(model)[1], first)
    for norm in model.modules():
        if isinstance(norm, TDBatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(1, 2)
            assert norm.momentum == 0.1
    recalibrate(model.train(), images, 600)
    assert model.training
    assert same(states(model)[1], first)


def test_statistics_are_the_mean_of_those_of_the_batches(images):
    """Two batches of 256; the 88 images that are left over count for nothing."""
    model = model_of("escape")
    recalibrate(model, images, 600, seed=3)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(3))
    convolution, norm = model.encoder.blocks[0].transform, model.encoder.blocks[0].norm
    with torch.no_grad():
        outputs = [convolution(to_float(images.images[order[i : i + 256]])) for i in (0, 256)]
    mean = sum(y.mean((0, 2, 3)) for y in outputs) / 2
    torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-5)
    n = 3 * outputs[0][:, 0].numel()  # T copies of the image
    var = sum(y.var((0, 2, 3), unbiased=False) for y in outputs) / 2 * n / (n - 1)
    torch.testing.assert_close(norm.running_var, var, atol=1e-5, rtol=1e-4)
    assert norm.num_batches_tracked == 2


def test_a_prior_that_has_seen_no_code_is_left_alone(images):
    model = awake(replace(SMALL, T=3, latent=ESCAPE))
    before = {name: value.clone() for name, value in model.latent.prior.state_dict().items() if "running" in name}
    recalibrate(model, images, 300)
    assert same(before, {k: v for k, v in model.latent.prior.state_dict().items() if "running" in k})


def test_what_is_refused(images):
    for n in (1, 601):
        with pytest.raises(ValueError, match=rf"n must be in 2\.\.600, the images of toy train; found {n}"):
            recalibrate(model_of("escape"), images, n)
    frames = FSVAE(FSVAEConfig(in_channels=2, T=3, channels=(2, 2, 2, 2), input="frames"))
    with pytest.raises(ValueError, match="recalibration shows images, found a model with input='frames'"):
        recalibrate(frames, images, 300)
