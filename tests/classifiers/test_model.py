import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from classifiers.checkpoint import load, save
from classifiers.config import ClassifierConfig
from classifiers.layers import TimeDropout, Vote
from classifiers.model import SpikingClassifier
from classifiers.nets import NETS
from fsvae_tcja.core import LIF, NEURONS, TDBatchNorm, lif, tcja

SMALL = ClassifierConfig("4C TCJA(2,3) MP2 6C TCJA(3,2) AP2 DP.5 FC12 LIF Vote4", T=3, shape=(2, 9, 8), classes=3)
RESIDUAL = ClassifierConfig("4S 4R TCJA(2,2) 6R/2 TCJA(2,2) LIF GAP FC3", T=3, shape=(2, 9, 8), classes=3, neuron="tet")


def count(config):
    with torch.device("meta"):
        return sum(p.numel() for p in SpikingClassifier(config).parameters())


def build(config, seed=0):
    """A model whose neurons are neither all silent nor all firing."""
    torch.manual_seed(seed)
    model = SpikingClassifier(config)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, TDBatchNorm):
                module.weight.uniform_(2.5, 4)
                module.bias.uniform_(0.5, 2)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, nn.Linear):
                module.weight.mul_(8).add_(0.3)
    return model


def frames(config, n=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 4, (config.T, n, *config.shape), generator=generator).float()


# The networks of the paper


def test_dvs128_has_the_parameters_of_the_published_program():
    assert count(NETS["dvs128"]) == 1_832_576


def conv(inputs, outputs, bias):
    return 9 * inputs * outputs + bias * outputs + 2 * outputs  # weights, bias, batch norm


def attention(T, C, k_c=4, k_t=4):
    return k_c * T**2 + k_t * C**2


def test_parameters_are_those_of_the_tables():
    widths = [(2, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    vgg = sum(conv(a, b, True) for a, b in widths) + 512 * 3 * 3 * 10 + 10
    assert count(NETS["cifar10dvs"]) == vgg + 2 * attention(10, 512)
    assert count(NETS["cifar10dvs-tet"]) == vgg + attention(10, 128, 2, 2)

    widths = [(2, 64), (64, 128), (128, 256), (256, 256), (256, 512)]
    dense = 512 * 5 * 7 * 1024 + 1024 * 101
    gates = attention(14, 256) + attention(14, 512, 2, 4)
    assert count(NETS["ncaltech101"]) == sum(conv(a, b, False) for a, b in widths) + dense + gates


def test_cifar_networks_are_a_resnet18_with_a_gate_in_each_block():
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    blocks = 0
    for a, b in itertools.pairwise(widths):
        blocks += conv(a, b, False) + conv(b, b, False) + attention(4, b)
        blocks += (a * b + 2 * b) if a != b else 0
    stem = conv(3, 64, False)
    assert count(NETS["cifar10"]) == stem + blocks + 512 * 10 + 10
    assert count(NETS["cifar100"]) == stem + blocks + 512 * 100 + 100


@pytest.mark.parametrize("name", NETS)
def test_output_shapes(name):
    config = NETS[name]
    with torch.device("meta"):
        model = SpikingClassifier(config)
        x = torch.empty(2, *config.shape) if config.shape[0] != 2 else torch.empty(config.T, 2, *config.shape)
        assert model(x).shape == (config.T, 2, config.classes)


@pytest.mark.parametrize(
    ("attention", "parameters"),
    [("joint", 2 * 9 + 3 * 16), ("add", 2 * 9 + 3 * 16), ("cla", 2 * 9), ("tla", 3 * 16), ("none", 0)],
)
def test_ablations_change_the_attention_and_nothing_else(attention, parameters):
    config = ClassifierConfig("4C TCJA(2,3) FC3", T=3, shape=(2, 5, 5), classes=3)
    without = count(replace(config, layers="4C FC3"))
    assert count(replace(config, attention=attention)) == without + parameters


# Against the same network written out


def plain_conv(x, layer, params, placement):
    """conv - norm - LIF with TCJA, step by step: x [T, N, C, H, W]."""
    y = torch.stack([layer.transform(step) for step in x])
    mean, var = y.mean((0, 1, 3, 4)), y.var((0, 1, 3, 4), correction=0)
    c = (slice(None), None, None)
    scale = layer.norm.weight * params.v_th / (var + 1e-5).sqrt()
    current = (y - mean[c]) * scale[c] + layer.norm.bias[c]
    gate = [layer.attention.cla.weight, layer.attention.tla.weight]
    if placement == "current":
        current = tcja(current, *gate)
    spikes, _ = lif(current, params=params, backend="reference")
    return tcja(spikes, *gate) if placement == "spikes" else spikes


def plain(model, x):
    """SMALL without its dropout, written out."""
    config, params = model.config, model.config.neuron
    first, _, second, _, _, _, dense, _ = model.layers
    x = plain_conv(x, first, params, config.placement)
    x = torch.stack([F.max_pool2d(step, 2) for step in x])
    x = plain_conv(x, second, params, config.placement)
    x = torch.stack([F.avg_pool2d(step, 2) for step in x])
    current = torch.stack([F.linear(step.flatten(1), dense.transform.weight) for step in x])
    spikes, _ = lif(current, params=params, backend="reference")
    return spikes.view(*spikes.shape[:2], 3, 4).mean(3)


@pytest.mark.parametrize("neuron", ["atan", "triangle", "tet", "frame"])
@pytest.mark.parametrize("placement", ["spikes", "current"])
def test_network_and_gradients_against_the_same_written_out(neuron, placement):
    config = replace(SMALL, neuron=neuron, placement=placement)
    model, x = build(config).double(), frames(config, n=3).double()
    model.layers[4].p = 0.0
    outputs, expected = model(x), plain(model, x)
    assert 0.1 < outputs.mean() < 0.9  # fired and was silent
    torch.testing.assert_close(outputs, expected)
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1)).double()
    ours = torch.autograd.grad((outputs * weights).sum(), list(model.parameters()))
    theirs = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    assert all(gradient.abs().max() > 0 for gradient in theirs)
    torch.testing.assert_close(ours, theirs)


def test_residual_block_is_its_formula():
    model, x = build(RESIDUAL).double().eval(), frames(RESIDUAL).double()
    block = model.layers[2]  # stride 2, with a shortcut
    current = model.layers[1](model.layers[0](x))
    params = NEURONS["tet"]
    fired, _ = lif(current, params=params, backend="reference")
    assert 0.05 < fired.mean() < 0.95

    def normed(conv, norm, v):
        y = torch.stack([conv(step) for step in v])
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        return (y - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]

    inner = normed(block.inner.transform, block.inner.norm, fired)
    spikes, _ = lif(inner, params=params, backend="reference")
    gate = block.inner.attention
    graded = tcja(spikes, gate.cla.weight, gate.tla.weight)
    end = normed(block.end.transform, block.end.norm, graded)
    expected = end + normed(block.shortcut.transform, block.shortcut.norm, current)
    torch.testing.assert_close(block(current), expected)
    assert block(current).shape[-2:] == (5, 4)  # 9x8 halved


# What travels between layers


def entering(model, x):
    """Inputs of every convolution and linear layer but the first."""
    seen, hooks = [], []
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers[1:]:
        hooks.append(layer.register_forward_pre_hook(lambda _, args: seen.append(args[0])))
    model.eval()(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_with_tcja_on_the_current_only_spikes_travel(backend):
    config = replace(SMALL, layers=SMALL.layers.replace("AP2", "MP2"), placement="current")
    model = build(config)
    for module in model.modules():
        if isinstance(module, LIF):
            module.backend = backend
    seen = entering(model, frames(config))
    assert len(seen) == 2 and all(((v == 0) | (v == 1)).all() and 0 < v.mean() < 1 for v in seen)


def test_with_tcja_on_the_spikes_values_are_graded():
    seen = entering(build(SMALL), frames(SMALL))
    assert len(seen) == 2 and all((~((v == 0) | (v == 1))).any() for v in seen)


# What time is worth


def test_frame_neurons_see_single_frames_only():
    config = replace(SMALL, neuron="frame", attention="none")
    model, x = build(config).eval(), frames(config)
    order = [2, 0, 1]
    assert torch.equal(model(x[order]), model(x)[order])
    assert 0 < model(x).mean() < 1
    remembering = build(replace(config, neuron="atan")).eval()
    assert not torch.equal(remembering(x[order]).mean(0), remembering(x).mean(0))


# Static images, dropout, votes


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("config", [SMALL, RESIDUAL], ids=["plain", "residual"])
def test_an_image_is_a_sequence_of_itself(config, training):
    model = build(replace(config, layers=config.layers.replace("DP.5 ", ""))).double().train(training)
    image = frames(config)[0].double()
    torch.testing.assert_close(model(image), model(image.expand(config.T, *image.shape)))


def test_dropout_masks_are_the_same_at_every_step():
    torch.manual_seed(0)
    y = TimeDropout(0.4)(torch.ones(5, 30, 20))
    assert torch.equal(y, y[:1].expand(5, 30, 20))
    kept = (y[0] > 0).float().mean().item()
    assert kept == pytest.approx(0.6, abs=5 * (0.24 / 600) ** 0.5)
    assert y.max().item() == pytest.approx(1 / 0.6)
    assert torch.equal(TimeDropout(0.4).eval()(y), y)


def test_votes_are_means_of_neighbours():
    x = torch.arange(12.0).view(1, 2, 6)
    assert Vote(3)(x).tolist() == [[[1, 4], [7, 10]]]


# Checkpoints and bad input


def test_a_checkpoint_gives_the_model_back(tmp_path):
    model, x = build(SMALL).eval(), frames(SMALL)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == SMALL and not again.training
    assert torch.equal(again(x), model(x))


def test_another_kind_of_checkpoint_is_refused(tmp_path):
    from fsvae_tcja.runtime import checkpoint

    checkpoint.write(tmp_path / "a.safetensors", {}, {"kind": "fsvae"})
    with pytest.raises(ValueError, match="holds a 'fsvae', expected 'classifier'"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(4, 2, 2, 9, 8), r"made for T=3 steps, found a sequence of 4; cut the recordings into 3 frames"),
        (torch.zeros(3, 2, 1, 9, 8), r"inputs must be images \[N, 2, 9, 8\] or sequences with T=3 in front, found"),
        (torch.zeros(3, 2, 2, 9, 8, dtype=torch.int16), r"floating point, found torch.int16; event counts: x.float"),
        (torch.zeros(3, 0, 2, 9, 8), "an empty batch"),
        (torch.zeros(9, 8), r"inputs must be images"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        SpikingClassifier(SMALL)(x)


def test_images_for_a_network_that_starts_with_a_pool_are_refused():
    model = SpikingClassifier(ClassifierConfig("AP2 4C FC3", T=3, shape=(2, 8, 8), classes=3))
    with pytest.raises(ValueError, match=r"takes sequences \[T, N, C, H, W\]: its first layer is no convolution"):
        model(torch.zeros(2, 2, 8, 8))


@pytest.mark.parametrize("bias", [False, True])
def test_the_bias_is_that_of_every_convolution(bias):
    config = replace(RESIDUAL, bias=bias)
    convolutions = [m for m in SpikingClassifier(config).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 6 and all((conv.bias is not None) == bias for conv in convolutions)
