"""Energy and firing of the generative model, against counts made in another way."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fsvae_tcja.core import SpikingLayer
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime.config import Stage
from fsvae_tcja.runtime.energy import AC_PJ, MAC_PJ
from fsvae_tcja.runtime.stages import spans
from fsvae_tcja.vae import FSVAE, Bernoulli, Escape, FSVAEConfig, Hierarchical, TCJAConfig
from fsvae_tcja.vae.energy import ann_of, energy
from fsvae_tcja.vae.sample import noise_of
from fsvae_tcja.vae.train import TrainConfig
from fsvae_tcja.vae.watch import Watch, alike, find, lagging, no_better, tiny_epochs, variance

from .conftest import awake

ONE = spans([Stage(steps=9)], lambda stage: 100)
T, L, CHANNELS = 4, 6, (3, 4, 5, 6)


def small(latent="poisson", **changes):
    return awake(FSVAEConfig(T=T, L=L, channels=CHANNELS, latent=latent, **changes))


@pytest.fixture
def images():
    return torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def synapses_used(transform, x):
    """How many (value other than 0, weight) pairs there are: the same layer with weights of 1, fed with 1 and 0."""
    ones = {"weight": torch.ones_like(transform.weight), "bias": torch.zeros_like(transform.bias)}
    return torch.func.functional_call(transform, ones, (x != 0).float()).sum().item()


def rows(found):
    return {row.name: row for row in found.layers}


def test_the_random_numbers_of_the_program_go_on_as_before(images):
    model = small()
    before = torch.get_rng_state()
    energy(model, images)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("tcja", [TCJAConfig(), TCJAConfig((1,), (0,)), TCJAConfig((1,), (0,), placement="current")])
def test_synaptic_operations_of_a_reconstruction(images, tcja):
    model = small(tcja=tcja)
    inputs = {}
    names = {
        **{f"encoder {i}": model.encoder.blocks[i] for i in range(4)},
        **{f"decoder {i}": model.decoder.blocks[i] for i in range(4)},
        "to latent": model.encoder.to_latent,
        "from latent": model.decoder.from_latent,
    }
    for name, layer in names.items():
        layer.transform.register_forward_pre_hook(lambda _, x, name=name: inputs.__setitem__(name, x[0].clone()))
    with torch.no_grad():
        model(images, noise=noise_of(model, 0, 0, len(images)))
    seen = dict(inputs)
    found = rows(energy(model, images).reconstructed)
    for name, layer in names.items():
        repeats = T if name == "encoder 0" else 1  # computed once for the image, sent at every step
        used = repeats * synapses_used(layer.transform, seen[name]) / len(images)
        assert found[name].events == pytest.approx(used), name
        gated = tcja.placement == "spikes" and name in {"encoder 2": tcja.encoder, "decoder 1": tcja.decoder}
        gated = gated and bool(tcja.encoder)
        assert found[name].inputs == ("analog" if gated or name == "encoder 0" else "binary"), name
    assert found["encoder 0"].macs == T * synapses_used(model.encoder.blocks[0].transform, images[:1])
    assert ("decoder 0 TCJA" in found) == bool(tcja.decoder)


def test_the_networks_of_the_bernoulli_latent_count_once_a_step(images):
    model = small(Bernoulli(k=3))
    found = energy(model, images)
    for network, side in (("posterior", found.reconstructed), ("prior", found.drawn)):
        assert [name for name in rows(side) if name.startswith(network)] == [
            text for i in range(3) for text in (f"{network} {i}", f"{network} {i} neurons")
        ]
        assert rows(side)[f"{network} 1 neurons"].macs == T * 4 * L
    assert not any(name.startswith("prior") for name in rows(found.reconstructed))
    x = model.latent.sample(noise_of(model, 0, 0, len(images)))
    before = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
    assert rows(found.drawn)["prior 0"].events == pytest.approx(before.sum().item() * 2 * L / len(images))
    assert found.drawn.synops == pytest.approx(sum(row.events for row in found.drawn.layers))


def test_the_escape_prior_by_hand(images):
    latent = Escape(groups=2, hidden=7, joint_groups=2, joint_hidden=5)
    model = small(latent)
    z = model.latent.sample(noise_of(model, 0, 0, 5))
    M, B = 2 * T, L // 2
    bits = torch.stack([z[m // 2][:, m % 2 * B : (m % 2 + 1) * B] for m in range(M)])  # [M, N, B]
    sent = bits.sum((1, 2))  # bits of each micro-step, of all images
    found = rows(energy(model, images).drawn)
    assert found["prior, bits to hidden"].acs == pytest.approx(sum(7 * sent[m].item() for m in range(M - 1)) / 5)
    later = sum(sent[m].item() * B * (M - 1 - m) for m in range(M))
    assert found["prior, bits to bits"].acs == pytest.approx(later / 5)
    assert found["prior, hidden neurons"].macs == M * 7
    assert 0 < found["prior, hidden"].acs < M * 7 * B
    assert found["prior, bits to bits neurons"].macs == M * B


def test_the_prior_of_details_draws_no_base(images):
    model = small(Hierarchical(groups=2, hidden=7, joint_groups=2, joint_hidden=5, base=2, detail_groups=12))
    z = model.latent.sample(noise_of(model, 0, 0, 5))
    order = torch.cat([part.transpose(0, 1).flatten(1) for part in (z[..., :2], z[..., 2:])], dim=1)  # [N, T L]
    M, B, given = 12, 2, 4
    sent = order.unflatten(1, (M, B)).sum((0, 2))  # bits of each micro-step, of all images
    found = rows(energy(model, images).drawn)
    name = "prior of details"
    reached = sum(model.latent.params.detail_hidden * sent[m].item() for m in range(M - 1))
    assert found[f"{name}, bits to hidden"].acs == pytest.approx(reached / 5)
    later = sum(sent[m].item() * B * min(M - 1 - m, M - given) for m in range(M))
    assert found[f"{name}, bits to bits"].acs == pytest.approx(later / 5)
    assert found[f"{name}, bits to bits neurons"].macs == (M - given) * B
    assert found[f"{name}, hidden neurons"].macs == M * model.latent.params.detail_hidden
    hidden = model.latent.detail._hidden(order.unflatten(1, (M, B)).transpose(0, 1), None)
    assert found[f"{name}, hidden"].acs == pytest.approx(hidden[given:].sum().item() * B / 5)
    assert hidden[:given].any()


def test_silent_neurons_of_the_prior_of_details_are_told(images):
    model = small(Hierarchical(groups=2, hidden=7, joint_groups=2, joint_hidden=5, base=2, detail_groups=12))
    model.latent.detail.layer.norm.bias.data.fill_(-100.0)
    assert any("prior of details" in sentence for sentence in energy(model, images).warnings())


def test_the_ann_vae_costs_its_multiplications(images):
    model = small()
    found = energy(model, images)
    ann = FSVAE(ann_of(model.config)).eval()
    seen = {}
    weights = [layer for layer in ann.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    handles = [w.register_forward_pre_hook(lambda layer, x: seen.__setitem__(layer, x[0])) for w in weights]
    with torch.no_grad():
        ann(images[:1], noise=torch.zeros(1, 1, L))
    for handle in handles:
        handle.remove()
    macs = [synapses_used(layer, torch.ones_like(x)) for layer, x in seen.items()]
    assert len(macs) == 10
    macs.append(synapses_used(ann.decoder.readout.conv, torch.ones(1, CHANNELS[0], 32, 32)))  # its conv runs no hooks
    assert found.ann_reconstructed.pj == pytest.approx(MAC_PJ * sum(macs))
    assert not any("neurons" in row.name for row in found.ann_drawn.layers)
    assert found.ann_drawn.pj < found.ann_reconstructed.pj
    assert found.drawn.pj == pytest.approx(sum(MAC_PJ * r.macs + AC_PJ * r.acs for r in found.drawn.layers))


def test_batches_and_what_is_left_as_it_was(images):
    model = small().train()
    a, b = energy(model, images, batch_size=5), energy(model, images, batch_size=2)
    assert model.training
    assert a.plain() == b.plain()
    with pytest.raises(ValueError, match="no images"):
        energy(model, images[:0])


def test_firing_of_each_layer(images):
    model = small(Bernoulli(k=3))
    spikes = {}
    for i, block in enumerate(model.decoder.blocks[:3]):
        block.register_forward_hook(lambda _, x, y, i=i: spikes.__setitem__(f"decoder {i}", y))
    found = energy(model, images)
    with torch.no_grad():
        model.decode(model.latent.sample(noise_of(model, 0, 0, 5)))
    layers = {layer.name: layer for layer in found.drawing.layers}
    for name, y in spikes.items():
        assert layers[name].rate == pytest.approx(y.mean().item())
        assert layers[name].dead == pytest.approx((y.sum((0, 1)) == 0).float().mean().item())
    text = found.text()
    assert "energy per drawn image" in text and "prior 2" in text and "the ANN VAE with these layers" in text


def test_what_is_wrong_is_found(images):
    model = small()
    drawn = model.sample(8)
    assert find(model, images, drawn, mse=0.1, test_mse=0.15) == []
    layer = model.decoder.blocks[1]
    assert isinstance(layer, SpikingLayer)
    with torch.no_grad():
        layer.norm.bias.fill_(-100)
    dead, same = find(model, images, model.sample(8))
    assert dead.startswith("neurons that never fired over ") and "100% of the " in dead and "layer decoder 1" in dead
    assert same.startswith("all images drawn are the same")
    with torch.no_grad():
        layer.norm.bias.fill_(100)
    assert any("layer decoder 1" in line and "fired at every step" in line for line in find(model, images, None))
    layer.norm.bias.data.zero_()
    assert find(small(), images, None, mse=0.1, test_mse=0.3)[0].startswith("test_mse 0.3 is 3 times mse 0.1")


def test_samples_that_are_all_the_same_are_told_of_at_the_end_of_stages():
    told = []
    run = SimpleNamespace(
        task=SimpleNamespace(model=small()), config=SimpleNamespace(seed=0), message=told.append, row={},
        spans=[1, 2], epoch=7, first_evaluated=1, step=9, total=9,
    )  # fmt: skip
    Watch().epoch_end(run, {})
    assert told == []
    with torch.no_grad():
        run.task.model.decoder.blocks[1].norm.bias.fill_(-100)
    Watch().epoch_end(run, {})
    assert len(told) == 1 and told[0].startswith("warning: all images drawn are the same")
    assert told[0].endswith("for which 9 steps are few") and "learning rate" not in told[0]
    assert "learning rate" in alike(torch.zeros(2, 1, 4, 4), 100)[0]
    run.step = 8
    Watch().epoch_end(run, {})
    assert len(told) == 1


def test_reconstructions_that_the_mean_image_would_match_are_told_of_at_the_end():
    told = []
    pixels = torch.tensor([0, 255] * 3, dtype=torch.uint8)[:, None, None, None].expand(6, 1, 32, 32)
    data = MemoryImages("toy", "train", pixels.contiguous(), torch.zeros(6).long(), 1)
    run = SimpleNamespace(
        task=SimpleNamespace(model=small()), data=data, config=TrainConfig(), message=told.append,
        spans=ONE, epoch=7, first_evaluated=1, step=0, total=9, row={"mse": 1.5},
    )  # fmt: skip
    watch = Watch()
    watch.start(run)
    assert told == [] and variance(data) == 1  # of black and white, -1 and 1
    run.step = 8
    watch.epoch_end(run, {"test_mse": 1.5})
    assert told == []
    run.step = 9
    watch.epoch_end(run, {"test_mse": 0.99})
    assert told == []
    watch.epoch_end(run, {"test_mse": 1.5})
    assert told == [f"warning: {line}" for line in no_better(1.5, 1.0)]
    assert told[0].startswith("warning: test_mse 1.5 is no lower than 1, the error of the mean training image")
    run.row = {"mse": 0.5}  # the model does tell images apart, by the statistics of each batch
    watch.epoch_end(run, {"test_mse": 1.5})
    assert told[1:] == [f"warning: {line}" for line in lagging(0.5, 1.5)] != []


def test_epochs_of_few_steps_are_told_of():
    one = spans([Stage(steps=60, batch_size=32)], lambda stage: 1)
    told = tiny_epochs(56, one, 1)
    assert told.startswith(
        "an epoch has 1 step of 32 images; of 56 images 24 are left out of each, not always the same"
    )
    assert told.endswith("The model is evaluated 60 times in 60 steps: --evaluate-every 20 takes less time")
    assert tiny_epochs(56, one, 3) == tiny_epochs(56, one, 20) == ""
    assert tiny_epochs(60_000, spans([Stage(steps=16_000)], lambda stage: 1875), 1) == ""
    two = spans(
        [Stage(steps=400, batch_size=32), Stage(steps=60, batch_size=256)], lambda stage: 320 // stage.batch_size
    )
    assert tiny_epochs(320, two, 1) == (
        "an epoch has 10 steps of 32 images. The model is evaluated 100 times in 460 steps: --evaluate-every 5 takes "
        "less time"
    )


def test_images_that_hardly_differ_are_well_reconstructed_by_their_mean():
    assert no_better(0.0012, 0.0009) == [] != no_better(0.0012, 0.0011)


def test_the_variance_is_that_of_all_images_over_many_batches():
    pixels = torch.randint(0, 256, (150, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = pixels / 127.5 - 1
    expected = (x - x.mean(0)).square().mean().item()
    assert variance(MemoryImages("toy", "train", pixels, torch.zeros(150).long(), 1)) == pytest.approx(expected)


def test_training_images_that_hardly_differ_are_told_of_at_the_start():
    told = []
    pixels = torch.full((6, 1, 32, 32), 100, dtype=torch.uint8)
    pixels[0] = 103
    run = SimpleNamespace(
        task=SimpleNamespace(model=small()), data=MemoryImages("toy", "train", pixels, torch.zeros(6).long(), 1),
        config=TrainConfig(), spans=ONE, message=told.append, step=0, total=9,
    )  # fmt: skip
    Watch().start(run)
    assert len(told) == 1 and told[0].startswith("note: the training images hardly differ: ")
    run.step, run.run = 5, SimpleNamespace(read_metrics=lambda: [])  # resumed: it was said
    Watch().start(run)
    assert len(told) == 1


def test_shares_of_micro_steps_lie_between_none_and_all(images):
    model = small(Escape(groups=2, hidden=7, joint_groups=2, joint_hidden=5))
    lines = [line.split() for line in energy(model, images).drawn.table().splitlines()]
    shares = [float(word.rstrip("%")) for line in lines for word in line if word.endswith("%")]
    assert len(shares) == 3 + 1 + 4 + 1 and all(0 <= share <= 100 for share in shares)
