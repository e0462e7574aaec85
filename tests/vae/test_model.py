from dataclasses import replace

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF, TCJA_LIF
from fsvae_tcja.vae import FSVAE, Bernoulli, TCJAConfig
from fsvae_tcja.vae.losses import kld, mmd
from fsvae_tcja.vae.sample import stream
from tests.conftest import long

from .conftest import LARGE, SMALL, TWO_BLOCKS, K, awake


def test_published_size():
    assert sum(p.numel() for p in FSVAE().parameters()) == 4_053_601


def test_tcja_parameters():
    """K_C T^2 + K_T C^2 for every block that has one."""
    plain = FSVAE(replace(SMALL, tcja=TCJAConfig()))
    attended = FSVAE(replace(SMALL, tcja=TCJAConfig(encoder=(2,), decoder=(1, 3), kernel_c=2, kernel_t=3)))
    more = sum(p.numel() for p in attended.parameters()) - sum(p.numel() for p in plain.parameters())
    assert more == sum(2 * 7**2 + 3 * c**2 for c in (5, 4, 3))  # channels behind encoder 2, decoder 1 and 3


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, in_channels=3), LARGE, replace(LARGE, in_channels=1)])
@pytest.mark.parametrize("readout", ["membrane", "tcja", "mean"])
def test_shapes(config, readout):
    config = replace(config, readout=readout)
    model = FSVAE(config).eval()
    images = torch.rand(3, config.in_channels, config.image_size, config.image_size) * 2 - 1
    out = model(images)
    assert out.recon.shape == images.shape
    assert out.recon.abs().max() <= 1
    assert out.q.shape == (config.T, 3, config.L, config.latent.k)
    assert out.z.shape == (config.T, 3, config.L)
    assert model.sample(2).shape == (2, *images.shape[1:])
    assert model.decode(model.encode(images)).shape == images.shape


@pytest.mark.parametrize("sampling", ["stream", "prefix"])
@pytest.mark.parametrize("placement", ["spikes", "current"])
def test_every_parameter_learns(images, sampling, placement):
    config = replace(SMALL, latent=Bernoulli(K, sampling), tcja=replace(SMALL.tcja, placement=placement))
    model = awake(config).train()
    model.losses(images, model(images), progress=1.0)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if "transform.bias" not in name:  # in front of a batch norm: no effect
            assert parameter.grad.abs().sum() > 0, name


def test_what_travels_between_layers_is_binary_with_tcja_on_the_current(images):
    model = awake(replace(SMALL, tcja=TCJAConfig((0, 1, 2, 3), (0, 1, 2, 3), placement="current")))
    seen = []
    blocks = [*model.encoder.blocks, model.encoder.to_latent, model.decoder.from_latent, *model.decoder.blocks]
    for block in blocks:
        block.register_forward_hook(lambda module, args, out: seen.append(out))
    model.encoder.blocks[0].forward_static(images, SMALL.T)
    model(images)
    assert all(((s == 0) | (s == 1)).all() for s in seen)
    assert all(0 < s.mean() < 1 for s in seen), "each layer must fire and be silent"


def test_the_static_first_layer_is_the_repeated_image(images):
    """forward_static equals T equal inputs: spikes, gradients and running statistics."""
    results = []
    for static in (True, False):
        block = awake(SMALL).train().encoder.blocks[0]
        x = images.clone().requires_grad_()
        spikes = block.forward_static(x, SMALL.T) if static else block(x.expand(SMALL.T, *x.shape))
        (spikes * torch.linspace(0, 1, spikes.numel()).view_as(spikes)).sum().backward()
        assert 0.05 < spikes.mean() < 0.95
        results.append((spikes, x.grad, block.transform.weight.grad, block.norm.running_mean, block.norm.running_var))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


WIDE = replace(SMALL, channels=(16, 32, 64, 128), tcja=TCJAConfig((2, 3), (2, 3)))


@pytest.mark.parametrize("config", [WIDE, pytest.param(SMALL, marks=long)])
def test_image_i_does_not_depend_on_the_batch_size(config):
    model = awake(config)
    whole = model.sample(41, seed=3, batch_size=41)
    assert whole.std() > 0.01
    assert len({image.sum().item() for image in whole}) > 20, "different images are drawn"
    for n, batch_size in ((4, 1), (11, 2), (41, 5), (41, 17), (41, 64)):
        assert torch.equal(model.sample(n, seed=3, batch_size=batch_size), whole[:n])
    assert torch.equal(model.sample(150, seed=3, batch_size=150), model.sample(150, seed=3, batch_size=64))
    assert torch.equal(model.sample(4, seed=3), whole[:4])
    assert not torch.equal(model.sample(41, seed=4), whole)


@pytest.mark.parametrize("latent", ["bernoulli", "poisson", "gaussian", "escape"])
def test_a_model_in_double_precision_draws_the_same_images(latent):
    model = awake(replace(TWO_BLOCKS, L=16, latent=latent))
    drawn, images = model.sample(20, seed=1), torch.rand(4, 1, 8, 8, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(model.double().sample(20, seed=1), drawn.double(), rtol=0, atol=1e-5)
    out = model(images)
    assert out.recon.dtype == torch.float64
    assert model.losses(images, out)["loss"].isfinite()


def test_sample_restores_the_mode_and_leaves_random_state_and_statistics_alone(small):
    small.train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in small.state_dict().items()}
    small.sample(3)
    assert small.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(v, state[k]) for k, v in small.state_dict().items())


def test_a_stream_left_half_way_leaves_gradients_on_and_the_mode_as_it_was(small):
    small.train()
    batches = stream(small, 40, batch_size=16)
    assert len(next(batches)) == 16
    assert torch.is_grad_enabled()
    batches.close()
    assert small.training


def test_picks_replay_a_run(small, images):
    noise = torch.randint(K, (SMALL.T, 5, SMALL.L))
    with torch.no_grad():
        a, b = small(images, noise=noise), small(images, noise=noise.int())
        c = small(images, generator=torch.Generator().manual_seed(1))
        d = small(images, generator=torch.Generator().manual_seed(1))
    assert torch.equal(a.recon, b.recon)
    assert torch.equal(c.recon, d.recon)
    assert not torch.equal(a.z, c.z)


@pytest.mark.parametrize(("distance", "divergence", "weight"), [("mmd", mmd, 1.0), ("kld", kld, 1e-4)])
def test_the_loss_is_the_sum_of_its_weighted_parts(images, distance, divergence, weight):
    model = awake(replace(SMALL, latent=Bernoulli(K, distance=distance)))
    with torch.no_grad():
        out = model(images)
        parts = model.losses(images, out)
        expected = divergence(out.q, model.latent.prior.predict(out.z))
    assert parts.keys() == {"loss", "mse", distance}
    assert parts["mse"].item() == pytest.approx((out.recon - images).square().mean().item())
    assert torch.equal(parts[distance], expected) and expected > 0
    assert parts["loss"].item() == pytest.approx((parts["mse"] + weight * expected).item())
    assert parts.keys() <= model.units.keys()


def test_a_code_between_two_others_is_decoded(small, images):
    with torch.no_grad():
        z = small.encode(images)
        a, b, between = small.decode(z[:, :1]), small.decode(z[:, 1:2]), small.decode((z[:, :1] + z[:, 1:2]) / 2)
    assert not torch.equal(between, a) and not torch.equal(between, b)


@pytest.mark.parametrize("readout", ["membrane", "tcja", "mean"])
def test_decoding_and_reconstructing_can_be_exported(images, readout):
    model, images = awake(replace(TWO_BLOCKS, readout=readout)), images[..., :8, :8]
    noise = torch.randint(K, (TWO_BLOCKS.T, len(images), TWO_BLOCKS.L))

    class Decode(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, z):
            return self.model.decode(z)

    class Reconstruct(Decode):
        def forward(self, images):
            return self.model(images, noise=noise).recon

    with torch.no_grad():
        z = model.encode(images, noise=noise)
        for module, x in ((Decode(model), z), (Reconstruct(model), images)):
            exported = torch.export.export(module, (x,)).module()
            torch.testing.assert_close(exported(x), module(x))


# frames of events

FRAMES = replace(SMALL, input="frames", in_channels=2)


@pytest.fixture
def frames():
    """Counts of a moving bar, two polarities, [T, N, C, H, W] in [0, 1]."""
    x = torch.zeros(SMALL.T, 5, 2, 32, 32)
    for t in range(SMALL.T):
        for i in range(5):
            x[t, i, 0, :, 4 * t + i] = 1.0
            x[t, i, 1, :, 4 * t + i + 1] = 0.5
    return x


def test_frames_are_seen_step_by_step_and_their_mean_is_learnt(frames):
    model = awake(FRAMES)
    with torch.no_grad():
        out = model(frames, noise=torch.zeros(SMALL.T, 5, SMALL.L, dtype=torch.int64))
        backwards = model(frames.flip(0), noise=torch.zeros(SMALL.T, 5, SMALL.L, dtype=torch.int64))
        parts = model.losses(frames, out)
    assert out.recon.shape == (5, 2, 32, 32)
    assert not torch.equal(out.z, backwards.z), "the order of the frames must be seen"
    target = model.target(frames)
    assert target.min() == -1 and target.max() == pytest.approx(2 / 7 - 1)
    assert torch.equal(target, model.target(frames.flip(0)))
    assert parts["mse"].item() == pytest.approx((out.recon - target).square().mean().item())
    drawn = model.sample(3, seed=1)
    assert drawn.shape == (3, 2, 32, 32) and torch.equal(drawn[:2], model.sample(2, seed=1))


def test_every_parameter_learns_from_frames(frames):
    model = awake(FRAMES).train()
    model.losses(frames, model(frames), progress=1.0)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert "transform.bias" in name or parameter.grad.abs().sum() > 0, name


def test_equal_frames_are_a_static_image(small, images):
    """What the blocks do with a sequence is what they do with an image shown at each step."""
    with torch.no_grad():
        assert torch.equal(small.encoder(images.expand(SMALL.T, *images.shape)), small.encoder(images))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda x: x[:-1], r"frames must be \[7, N, 2, 32, 32\] with N >= 1, found \[6, 5, 2, 32, 32\]"),
        (lambda x: x[0], r"found \[5, 2, 32, 32\]"),
        (lambda x: x[:, :0], "with N >= 1"),
        (lambda x: x * 9, r"frames must lie in \[0, 1\], found 0 to 9; divide counts"),
        (lambda x: -x, r"frames must lie in \[0, 1\], found -1 to"),
        (lambda x: x.to(torch.int16), r"frames must be floating point in \[0, 1\], found torch.int16; divide counts"),
    ],
)
def test_bad_frames(frames, bad, message):
    with pytest.raises(ValueError, match=message):
        FSVAE(FRAMES)(bad(frames))


@pytest.mark.parametrize("neuron", [FSVAE_LIF, TCJA_LIF])
def test_thresholds_and_scales(neuron):
    model = FSVAE(replace(SMALL, neuron=neuron))
    assert {m.scale for m in model.latent.modules() if hasattr(m, "scale")} == {2 * neuron.v_th}
    for part in (model.encoder, model.decoder):
        assert {m.scale for m in part.modules() if hasattr(m, "scale")} == {neuron.v_th}
    assert {m.params for m in model.modules() if hasattr(m, "v_th")} == {neuron}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda x: x[:, :, :16], r"images must be \[N, 1, 32, 32\] with N >= 1, found \[5, 1, 16, 32\]"),
        (lambda x: x[0], r"found \[1, 32, 32\]"),
        (lambda x: x[:0], "with N >= 1"),
        (lambda x: x * 2, r"images must lie in \[-1, 1\], found -2 to 1\.999"),
        (lambda x: (x + 1) * 127.5, "from 0..255 take x / 127.5 - 1"),
        (lambda x: x / 0 * 0, "found nan to nan"),
        (lambda x: x.to(torch.uint8), "images must be floating point in .* found torch.uint8"),
    ],
)
def test_bad_images(small, images, bad, message):
    with pytest.raises(ValueError, match=message):
        small(bad(images))


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (torch.zeros(7, 5, 5, dtype=torch.long), r"noise must be \[T, N, L\] = \[7, 5, 6\], found \[7, 5, 5\]"),
        (torch.full((7, 5, 6), 3), r"whole numbers in 0\.\.2"),
        (torch.full((7, 5, 6), -1), r"whole numbers in 0\.\.2"),
        (torch.zeros(7, 5, 6), "found torch.float32"),
    ],
)
def test_bad_picks(small, images, noise, message):
    with pytest.raises(ValueError, match=message):
        small(images, noise=noise)
    with pytest.raises(ValueError, match=message):
        small.sample(5, noise=noise)


def test_bad_latent_and_bad_requests(small):
    with pytest.raises(ValueError, match=r"z must be \[T=7, N, L=6\], found \[16, 2, 6\]"):
        small.decode(torch.zeros(16, 2, 6))
    for arguments in ({"n": 0}, {"n": 1, "seed": -1}, {"n": 1, "seed": 2**63}, {"n": 1, "batch_size": 0}):
        with pytest.raises(ValueError, match=r"must be >= 1, found|seed must be in 0\.\.2\^63 - 1, found"):
            small.sample(**arguments)
    with pytest.raises(ValueError, match=r"z must be floating point, found torch\.int64; convert it"):
        small.decode(torch.zeros(7, 2, 6, dtype=torch.int64))
